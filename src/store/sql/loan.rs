//! Connections on loan from a pool. One goes back only when the state it is in is known: after a
//! statement that succeeded, a commit or a rollback. Whatever ends otherwise (an error, a limit in
//! time, a caller who went away) takes its connection with it, since a transaction may still be
//! open on it or an answer still on its way.

use std::ops::{Deref, DerefMut};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Describe, Either, Execute, Executor, SqlStr};

/// A connection that is closed when dropped, unless [`Self::give_back`] was called.
#[derive(Debug)]
pub(super) struct Loan {
    connection: PoolConnection<Any>,
    /// Statements are prepared by name and kept. Not so behind a pooler, which may hand the next
    /// statement to another connection of the server.
    named: bool,
    settled: bool,
}

impl Loan {
    pub(super) async fn of(pool: &AnyPool, named: bool) -> sqlx::Result<Self> {
        Ok(Self { connection: pool.acquire().await?, named, settled: false })
    }

    /// The connection is in order and goes back to its pool.
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

/// A query, prepared by name or not.
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

/// A transaction on a connection of its own. To be ended by [`Self::commit`] or
/// [`Self::rolled_back`]; dropped before, it ends with its connection.
#[derive(Debug)]
pub(super) struct Transaction(Loan);

impl Transaction {
    /// Begins one by the statement `begin`.
    pub(super) async fn begin(mut loan: Loan, begin: &'static str) -> sqlx::Result<Self> {
        loan.execute(begin).await?;
        Ok(Self(loan))
    }

    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        self.0.execute("COMMIT").await?;
        self.0.give_back();
        Ok(())
    }

    /// Changes nothing after all, which `verdict` says.
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
