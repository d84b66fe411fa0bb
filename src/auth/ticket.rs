//! Tickets: one-time links that an operator hands to a person, to set a password, to enrol a second
//! factor, or both. Each right of a ticket works once; an account has one ticket at most.
//!
//! A ticket that sets a password stands in for the password until then. One that only enrols is
//! worth nothing without the password.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::audit::Asked;
use super::keys::KeyRing;
use super::token::{HashedToken, PlainToken, TicketToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;
use crate::base::random::{NoRandomness, Random};

/// How long a ticket lives where nothing else is said.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// The longest that one may live: what is not used within a week is better made anew.
pub const LONGEST: Duration = Duration::from_hours(7 * 24);

/// What a ticket is good for, or still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// To set a password.
    pub password: bool,
    /// To enrol a second factor in place of the one there is.
    pub second_factor: bool,
}

impl Rights {
    /// To set a password and enrol a second factor: whoever holds it needs nothing else.
    pub const SET_UP: Self = Self { password: true, second_factor: true };
    /// To set a password; the second factor is asked for as ever.
    pub const PASSWORD: Self = Self { password: true, second_factor: false };
    /// To enrol a second factor; the password is asked for as ever.
    pub const ENROL: Self = Self { password: false, second_factor: true };

    /// As the audit trail names them.
    pub fn asked(self) -> Asked {
        match (self.password, self.second_factor) {
            (true, true) => Asked::Both,
            (true, false) => Asked::Password,
            (false, _) => Asked::SecondFactor,
        }
    }

    /// In one word, for JSON.
    pub fn as_str(self) -> &'static str {
        self.asked().as_str()
    }
}

/// What the first enrolment of an account takes beside the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstEnrolment {
    /// Nothing: it comes with the first login.
    #[default]
    FirstLogin,
    /// A ticket.
    Ticket,
}

/// A ticket as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose account it is for.
    pub account: AccountId,
    /// What it is still good for.
    pub rights: Rights,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
}

/// A ticket to be filed, in place of any other of the account.
#[derive(Clone, Copy, Debug)]
pub struct NewTicket {
    /// What the store knows its token by.
    pub id: HashedToken<TicketToken>,
    /// The ticket.
    pub ticket: Ticket,
}

/// A ticket as the operator hands it on.
pub struct Link {
    /// The address to open.
    pub url: Zeroizing<String>,
    /// What it is good for.
    pub rights: Rights,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// The app that is asked for the password, where it keeps it.
    pub asks: Option<String>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(***)")
    }
}

/// Makes tickets.
#[derive(Clone)]
pub struct TicketPrinter {
    /// For the token.
    pub keys: Arc<KeyRing>,
    /// What links start with: scheme and host, no slash at the end.
    pub public_url: String,
    /// The same for the apps that keep passwords, by their names: what asks for such a password
    /// leads there.
    pub app_urls: BTreeMap<String, String>,
    /// How long a ticket lives unless the operator says otherwise.
    pub lifetime: Duration,
}

impl fmt::Debug for TicketPrinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketPrinter(…)")
    }
}

impl TicketPrinter {
    /// A new ticket for `account`: what to file, and the link, which leads to the app that `asks`.
    pub(super) fn print(
        &self,
        account: AccountId,
        (rights, asks): (Rights, Option<&str>),
        lifetime: Option<Duration>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(NewTicket, Link), NoRandomness> {
        let token = PlainToken::<TicketToken>::generate(&self.keys, random)?;
        let expires_at = now.plus(lifetime.unwrap_or(self.lifetime));
        let ticket = Ticket { account, rights, created_at: now, expires_at };
        let base = asks.and_then(|app| self.app_urls.get(app)).unwrap_or(&self.public_url);
        let text = token.reveal();
        let url = Zeroizing::new([base.as_str(), "/_auth/setup?ticket=", text].concat());
        let new = NewTicket { id: *token.hashed(), ticket };
        Ok((new, Link { url, rights, expires_at, asks: asks.map(str::to_owned) }))
    }
}
