//! Which events a person is told of.

use std::time::Duration;

use crate::auth::audit::{Ended, Event, Record};
use crate::auth::ports::{Audit, AuditQuery, Stored};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// A browser not seen for so long is a new one.
const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);
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
    WrongCodes,
}

/// What the trail is asked before a person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether the account was signed in to from this browser before.
    NewBrowser,
    /// Whether this is the wrong code that makes them many.
    WrongCodes,
}

impl Question {
    /// What the person is told if so.
    pub(super) fn occasion(self) -> Occasion {
        match self {
            Self::NewBrowser => Occasion::NewBrowser,
            Self::WrongCodes => Occasion::WrongCodes,
        }
    }
}

/// Whether a person is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Yes(Occasion),
    /// That depends on what happened before: [`is_news`].
    Perhaps(Question),
    No,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "people are told of few events")]
pub(super) fn told(event: &Event) -> Told {
    match event {
        Event::SignedIn { .. } => Told::Perhaps(Question::NewBrowser),
        Event::SecondFactorWrong { .. } => Told::Perhaps(Question::WrongCodes),
        Event::SecondFactorEnrolled { .. } | Event::SecondFactorReplaced { .. } => {
            Told::Yes(Occasion::SecondFactorConfigured)
        }
        Event::SecondFactorReset { .. } => Told::Yes(Occasion::SecondFactorRemoved),
        Event::FactorSuspended { .. } => Told::Yes(Occasion::SecondFactorSuspended),
        Event::RecoveryCodeUsed { .. } => Told::Yes(Occasion::RecoveryCodeUsed),
        Event::PasswordChanged { .. } | Event::PasswordSet { .. } => {
            Told::Yes(Occasion::PasswordChanged)
        }
        Event::SessionEnded { why: Ended::ByOperator, .. }
        | Event::SessionsEnded { why: Ended::ByOperator, .. } => Told::Yes(Occasion::SessionsEnded),
        _ => Told::No,
    }
}

/// Whether the event of `record` is news in the light of what the trail holds of the account.
pub(super) async fn is_news(
    store: &dyn Audit,
    question: Question,
    account: AccountId,
    record: &Record,
) -> Stored<bool> {
    let since = match question {
        Question::WrongCodes => WRONG_CODES_IN,
        Question::NewBrowser => KNOWN_FOR,
    };
    let asked = AuditQuery {
        after: 0,
        since: earlier(record.content.at, since),
        name: None,
        account: Some(account),
        event: Some(record.content.event.clone()),
        limit: LOOK_BACK,
    };
    let rows = store.find(&asked).await?;
    let before: Vec<&Record> = rows.iter().filter(|row| row.seq < record.seq).collect();
    Ok(match question {
        Question::WrongCodes => before.len() + 1 == WRONG_CODES,
        // The very first sign-in sets up the second factor: that is told of.
        Question::NewBrowser => {
            let here = browser(record);
            !before.is_empty() && !before.iter().any(|row| browser(row) == here)
        }
    })
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(by))
}

/// What makes a browser the same one: what it calls itself, without its versions, and its network.
fn browser(record: &Record) -> (String, String) {
    let agent = record.content.user_agent.as_deref().unwrap_or_default();
    let agent = agent.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect();
    let address = record.content.address.as_deref().unwrap_or_default();
    let network = address
        .parse()
        .map_or_else(|_| address.to_owned(), |ip| ClientIp::new(ip).network().to_string());
    (agent, network)
}
