//! Connections borrowed from a pool. A connection is returned only if its state is known: after a
//! successful statement, a commit or a rollback. Otherwise (an error, a timeout, a cancelled
//! caller) it is closed, because a transaction may be open or a response may still be on its way.

use std::ops::{Deref, DerefMut};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Describe, Either, Execute, Executor, SqlStr};

/// A connection that is closed on drop unless [`Self::give_back`] was called.
#[derive(Debug)]
pub(super) struct Loan {
    connection: PoolConnection<Any>,
    /// True if statements are prepared by name and cached. False behind a pooler, which may send
    /// the next statement to another server connection.
    named: bool,
    settled: bool,
}

impl Loan {
    pub(super) async fn of(pool: &AnyPool, named: bool) -> sqlx::Result<Self> {
        Ok(Self { connection: pool.acquire().await?, named, settled: false })
    }

    /// Returns the connection to its pool.
    pub(super) fn give_back(mut self) {
        self.settled = true;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.settled {
            self.connection.close_on_drop();
        }
    }
}

impl<'c> Executor<'c> for &'c mut Loan {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<AnyQueryResult, AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let named = self.named;
        (&mut *self.connection).fetch_many(Prepared { query, named })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let named = self.named;
        (&mut *self.connection).fetch_optional(Prepared { query, named })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<AnyStatement>>
    where
        'c: 'e,
    {
        (&mut *self.connection).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Any>>>
    where
        'c: 'e,
    {
        (&mut *self.connection).describe(sql)
    }
}

/// A query, prepared with or without a name.
struct Prepared<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, Any>> Execute<'q, Any> for Prepared<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&AnyStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<AnyArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}

/// A transaction on its own connection. End it with [`Self::commit`] or [`Self::rolled_back`]. If
/// dropped earlier, its connection is closed.
#[derive(Debug)]
pub(super) struct Transaction(Loan);

impl Transaction {
    /// Begins a transaction with the statement `begin`.
    pub(super) async fn begin(mut loan: Loan, begin: &'static str) -> sqlx::Result<Self> {
        loan.execute(begin).await?;
        Ok(Self(loan))
    }

    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        self.0.execute("COMMIT").await?;
        self.0.give_back();
        Ok(())
    }

    /// Rolls back and returns `verdict`.
    pub(super) async fn rolled_back<T>(mut self, verdict: T) -> sqlx::Result<T> {
        self.0.execute("ROLLBACK").await?;
        self.0.give_back();
        Ok(verdict)
    }
}

impl Deref for Transaction {
    type Target = Loan;

    fn deref(&self) -> &Loan {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Loan {
        &mut self.0
    }
}
