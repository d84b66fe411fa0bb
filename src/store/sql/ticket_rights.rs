//! Rights of tickets that end when the user does the same without the ticket.

use sqlx::query;

use crate::auth::ports::LinkEnded;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::database::Statement;
use super::loan::Transaction;
use super::values::moment;

/// Removes the right to set a password from an account's ticket, because a password was set.
pub(super) async fn end_password_right(
    t: &mut Transaction,
    account: AccountId,
    now: Timestamp,
) -> sqlx::Result<LinkEnded> {
    let end = "UPDATE tickets SET sets_password = 0 \
               WHERE account_id = $1 AND sets_password = 1 AND expires_at > $2";
    end_right(query(end), t, account, now).await
}

/// Removes the right to enrol from an account's ticket, because a factor was enrolled.
pub(super) async fn end_enrolment_right(
    t: &mut Transaction,
    account: AccountId,
    now: Timestamp,
) -> sqlx::Result<LinkEnded> {
    let end = "UPDATE tickets SET enrols = 0 \
               WHERE account_id = $1 AND enrols = 1 AND expires_at > $2";
    end_right(query(end), t, account, now).await
}

async fn end_right(
    end: Statement<'static>,
    t: &mut Transaction,
    account: AccountId,
    now: Timestamp,
) -> sqlx::Result<LinkEnded> {
    let done = end.bind(account.to_string()).bind(moment(now)).execute(&mut **t).await?;
    Ok(LinkEnded(done.rows_affected() == 1))
}
