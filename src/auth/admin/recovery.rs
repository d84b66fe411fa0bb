//! Help for users who cannot sign in: one-time links that set a password or enrol a second factor, the
//! reset of a second factor, and the end of a suspension.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::AdminError;
use super::journal::OperatorJournal;
use crate::auth::account::{Account, Identity, LoginName};
use crate::auth::audit::Event;
use crate::auth::ports::{AppAccounts, Authenticators, Guesses, Tickets};
use crate::auth::ticket::{FirstEnrolment, LONGEST, Link, NewTicket, Rights, TicketPrinter};
use crate::base::clock::Clock;
use crate::base::id::AccountId;
use crate::base::random::Random;

/// Maximum length of a reason, in characters.
const REASON_MAX: usize = 256;

/// Rights of a link, and the app that checks the password, if it is not Vestibule.
type Purpose = (Rights, Option<String>);

/// The result of the removal of a user's second factor.
#[derive(Debug)]
pub struct SecondFactorReset {
    /// Link to enrol a new second factor.
    pub link: Link,
    /// Number of sessions ended.
    pub sessions_ended: u64,
}

/// Helps users who cannot sign in.
pub struct RecoveryAdmin {
    pub(super) journal: Arc<OperatorJournal>,
    pub(super) authenticators: Arc<dyn Authenticators>,
    pub(super) app_accounts: Arc<dyn AppAccounts>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) guesses: Arc<dyn Guesses>,
    pub(super) printer: TicketPrinter,
    pub(super) enrolment: FirstEnrolment,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl fmt::Debug for RecoveryAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryAdmin(…)")
    }
}

/// Returns a reason without surrounding space, or an error if it does not fit into an audit row.
pub(super) fn checked_reason(reason: &str) -> Result<&str, AdminError> {
    let reason = reason.trim();
    let plain = !reason.is_empty()
        && reason.chars().count() <= REASON_MAX
        && !reason.chars().any(char::is_control);
    if plain {
        return Ok(reason);
    }
    let rule = "1 to 256 characters, on one line";
    Err(AdminError::BadField { field: "reason", rule })
}

impl RecoveryAdmin {
    /// Creates a one-time link with `rights`, which replaces any earlier link of the account. If
    /// the account has no password, the link also has the right to set one, because it could not be
    /// used otherwise. Accounts whose password an app checks are exempt.
    pub async fn ticket(
        &self,
        name: &LoginName,
        rights: Rights,
        lifetime: Option<Duration>,
    ) -> Result<Link, AdminError> {
        let account = self.journal.find(name).await?;
        let purpose = self.purpose(&account, rights).await?;
        self.issue(&account.identity, purpose, lifetime).await
    }

    /// Removes all authenticators and the recovery codes, ends the sessions, and creates a link to
    /// enrol again. The password stays, and the link asks for it.
    pub async fn reset_second_factor(
        &self,
        name: &LoginName,
        reason: &str,
        lifetime: Option<Duration>,
    ) -> Result<SecondFactorReset, AdminError> {
        let reason = checked_reason(reason)?;
        let account = self.journal.find(name).await?;
        let purpose = self.purpose(&account, Rights::ENROL).await?;
        let who = account.identity;
        let (new, link) = self.print(who.account, &purpose, lifetime)?;
        let done = self.tickets.reset_second_factor(&new).await?;
        // Sessions end first: if the row cannot be written, only the link is withheld.
        let event = |_ended| Event::SecondFactorReset { reason: reason.to_owned() };
        let sessions_ended =
            self.journal.end_after(done, &who, "second factor removed", event).await?;
        self.record_link(&link, &who).await?;
        Ok(SecondFactorReset { link, sessions_ended })
    }

    /// Resets the failure counters of the account's factors and lifts their suspension. Returns
    /// true if there were failures.
    pub async fn lift_suspension(&self, name: &LoginName) -> Result<bool, AdminError> {
        let who = self.journal.find(name).await?.identity;
        self.journal.may_open().await?;
        let lifted = self.guesses.lift_suspension(who.account).await?;
        if lifted {
            self.journal.record(Event::SuspensionLifted, Some(&who)).await?;
        }
        Ok(lifted)
    }

    /// Creates the link that a new account needs, if any.
    pub(super) async fn first_link(
        &self,
        who: &Identity,
        has_password: bool,
    ) -> Result<Option<Link>, AdminError> {
        let rights = match (has_password, self.enrolment) {
            (false, _) => Rights::SET_UP,
            (true, FirstEnrolment::Ticket) => Rights::ENROL,
            (true, FirstEnrolment::FirstLogin) => return Ok(None),
        };
        self.issue(who, (rights, None), None).await.map(Some)
    }

    async fn issue(
        &self,
        who: &Identity,
        purpose: Purpose,
        lifetime: Option<Duration>,
    ) -> Result<Link, AdminError> {
        let (new, link) = self.print(who.account, &purpose, lifetime)?;
        self.journal.may_open().await?;
        if !self.tickets.issue(&new).await? {
            let account = self.journal.find(&who.name).await?;
            return Err(AdminError::Disabled(account.identity.name));
        }
        self.record_link(&link, who).await?;
        Ok(link)
    }

    /// Records the link in the audit log. A link without a row is not shown.
    async fn record_link(&self, link: &Link, who: &Identity) -> Result<(), AdminError> {
        let event = Event::TicketMade { asked: link.rights.asked(), expires_at: link.expires_at };
        let context = self.journal.context(Some(who));
        self.journal.trail.record(event, &context).await.map_err(AdminError::LinkWithheld)
    }

    fn print(
        &self,
        account: AccountId,
        (rights, asks): &Purpose,
        lifetime: Option<Duration>,
    ) -> Result<(NewTicket, Link), AdminError> {
        if lifetime.is_some_and(|time| time.is_zero() || time > LONGEST) {
            let rule = "more than zero and at most a week";
            return Err(AdminError::BadField { field: "lifetime", rule });
        }
        let (now, random) = (self.clock.now(), &*self.random);
        let purpose = (*rights, asks.as_deref());
        Ok(self.printer.print(account, purpose, lifetime, now, random)?)
    }

    async fn purpose(&self, account: &Account, rights: Rights) -> Result<Purpose, AdminError> {
        if account.password.is_some() {
            return Ok((rights, None));
        }
        let name = &account.identity.name;
        let links = self.app_accounts.links_of(account.id()).await?;
        let apps: Vec<String> = links.into_iter().map(|(app, _subject)| app).collect();
        let urls = &self.printer.app_urls;
        let served = apps.iter().find(|app| urls.contains_key(*app));
        let Some(app) = served.or(apps.first()).cloned() else {
            return Ok((Rights { password: true, ..rights }, None));
        };
        if rights.password {
            return Err(AdminError::PasswordKept { name: name.clone(), app });
        }
        Ok((rights, Some(app)))
    }
}
