//! Which events a person is told of.

use std::time::Duration;

use crate::auth::audit::{Ended, Event, Record, TokenEvent};
use crate::auth::ports::{Audit, AuditQuery, Stored};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Wrong codes are told of when there are so many …
const WRONG_CODES: usize = 3;
/// … within this time, and not again within it.
const WRONG_CODES_IN: Duration = Duration::from_hours(1);
/// Rows that are looked through.
const LOOK_BACK: u32 = 1000;

/// Why somebody is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    NewBrowser,
    SecondFactorConfigured,
    SecondFactorRemoved,
    SecondFactorSuspended,
    RecoveryCodeUsed,
    PasswordChanged,
    SessionsEnded,
    TokenMade,
    EmailChanged,
    WrongCodes,
}

/// Whether a person is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Yes(Occasion),
    /// Of wrong codes, if this is the one that makes them many: [`makes_many`].
    IfMany,
    No,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "people are told of few events")]
pub(super) fn told(event: &Event) -> Told {
    match event {
        Event::SignedIn { new_browser: true, .. } => Told::Yes(Occasion::NewBrowser),
        Event::SecondFactorWrong { .. } => Told::IfMany,
        Event::SecondFactorEnrolled { .. } | Event::SecondFactorReplaced { .. } => {
            Told::Yes(Occasion::SecondFactorConfigured)
        }
        Event::SecondFactorReset { .. } => Told::Yes(Occasion::SecondFactorRemoved),
        Event::FactorSuspended { .. } => Told::Yes(Occasion::SecondFactorSuspended),
        Event::RecoveryCodeUsed { .. } => Told::Yes(Occasion::RecoveryCodeUsed),
        Event::Token(TokenEvent::Made { .. }) => Told::Yes(Occasion::TokenMade),
        Event::AccountChanged(change) if change.email => Told::Yes(Occasion::EmailChanged),
        Event::PasswordChanged { .. } | Event::PasswordSet { .. } => {
            Told::Yes(Occasion::PasswordChanged)
        }
        Event::SessionEnded { why: Ended::ByOperator, .. }
        | Event::SessionsEnded { why: Ended::ByOperator, .. } => Told::Yes(Occasion::SessionsEnded),
        _ => Told::No,
    }
}

/// Whether the wrong code of `record` makes those of the account many, by what the trail holds.
pub(super) async fn makes_many(
    store: &dyn Audit,
    account: AccountId,
    record: &Record,
) -> Stored<bool> {
    let asked = AuditQuery {
        since: earlier(record.content.at, WRONG_CODES_IN),
        account: Some(account),
        event: Some(record.content.event.clone()),
        ..AuditQuery::newest(LOOK_BACK)
    };
    let rows = store.find(&asked).await?;
    let before = rows.iter().filter(|row| row.seq < record.seq).count();
    Ok(before + 1 == WRONG_CODES)
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(by))
}
