//! Tickets: one-time links that an operator gives to a user, to set a password, to enrol a second
//! factor, or both. Each right of a ticket works once. An account has at most one ticket.
//!
//! A ticket that sets a password replaces the password until then. A ticket that only enrols also
//! requires the password.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::audit::TicketPurpose;
use super::keys::KeyRing;
use super::token::{HashedToken, PlainToken, TicketToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;
use crate::base::random::{Random, RandomError};

/// Default lifetime of a ticket.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// Maximum lifetime of a one-time link.
pub const LONGEST: Duration = Duration::from_hours(7 * 24);

/// The remaining rights of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// True if the ticket may set a password.
    pub password: bool,
    /// True if the ticket may enrol a second factor in place of the current one.
    pub second_factor: bool,
}

impl Rights {
    /// Sets a password and enrols a second factor, without any other proof.
    pub const SET_UP: Self = Self { password: true, second_factor: true };
    /// Sets a password. The second factor is still required.
    pub const PASSWORD: Self = Self { password: true, second_factor: false };
    /// Enrols a second factor. The password is still required.
    pub const ENROL: Self = Self { password: false, second_factor: true };

    /// Returns the rights as named in the audit log.
    pub fn asked(self) -> TicketPurpose {
        match (self.password, self.second_factor) {
            (true, true) => TicketPurpose::Both,
            (true, false) => TicketPurpose::Password,
            (false, _) => TicketPurpose::SecondFactor,
        }
    }

    /// Returns the rights as one word, for JSON.
    pub fn as_str(self) -> &'static str {
        self.asked().as_str()
    }
}

/// The requirement for first enrolment, beside the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstEnrolment {
    /// None: enrolment is part of the first login.
    #[default]
    FirstLogin,
    /// A ticket.
    Ticket,
}

/// A ticket as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Account that the one-time link was issued for.
    pub account: AccountId,
    /// Remaining rights.
    pub rights: Rights,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry.
    pub expires_at: Timestamp,
}

/// A new ticket, for the store. It replaces any other ticket of the account.
#[derive(Clone, Copy, Debug)]
pub struct NewTicket {
    /// Hash of the ticket's token.
    pub id: HashedToken<TicketToken>,
    /// The ticket.
    pub ticket: Ticket,
}

/// A ticket as the operator passes it on.
pub struct Link {
    /// URL to open.
    pub url: Zeroizing<String>,
    /// Rights of the ticket.
    pub rights: Rights,
    /// Time of expiry.
    pub expires_at: Timestamp,
    /// App that checks the password, if it is not Vestibule.
    pub asks: Option<String>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(***)")
    }
}

/// Creates tickets.
#[derive(Clone)]
pub struct TicketPrinter {
    /// Keys for the ticket's token.
    pub keys: Arc<KeyRing>,
    /// Start of links: scheme and host, without a slash at the end.
    pub public_url: String,
    /// Start of links for apps that check passwords themselves, by app name. A link that asks for
    /// such a password leads there.
    pub app_urls: BTreeMap<String, String>,
    /// Default lifetime of a ticket.
    pub lifetime: Duration,
}

impl fmt::Debug for TicketPrinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketPrinter(…)")
    }
}

impl TicketPrinter {
    /// Creates a ticket for `account`: the record for the store, and the link, which leads to the
    /// app in `asks`.
    pub(super) fn print(
        &self,
        account: AccountId,
        (rights, asks): (Rights, Option<&str>),
        lifetime: Option<Duration>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(NewTicket, Link), RandomError> {
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
