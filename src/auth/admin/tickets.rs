//! One-time links for users who cannot sign in: they set a password or enrol a second factor.

use std::time::Duration;

use super::{AccountAdmin, AdminError};
use crate::auth::account::{Account, Identity, LoginName};
use crate::auth::audit::{Context, Event};
use crate::auth::ticket::{FirstEnrolment, LONGEST, Link, NewTicket, Rights};
use crate::base::id::AccountId;

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

impl AccountAdmin {
    /// Creates a one-time link with `rights`, which replaces any earlier link of the account. If
    /// the account has no password, the link also has the right to set one, because it could not be
    /// used otherwise. Accounts whose password an app checks are exempt.
    pub async fn ticket(
        &self,
        name: &LoginName,
        rights: Rights,
        lifetime: Option<Duration>,
    ) -> Result<Link, AdminError> {
        let account = self.find(name).await?;
        let purpose = self.purpose(&account, rights).await?;
        self.issue(&account.identity, purpose, lifetime).await
    }

    /// Removes the authenticator and the recovery codes, ends the sessions, and creates a link to
    /// enrol again. The password stays, and the link asks for it.
    pub async fn reset_second_factor(
        &self,
        name: &LoginName,
        reason: &str,
        lifetime: Option<Duration>,
    ) -> Result<SecondFactorReset, AdminError> {
        let reason = reason.trim();
        let plain = !reason.is_empty()
            && reason.chars().count() <= REASON_MAX
            && !reason.chars().any(char::is_control);
        if !plain {
            let rule = "1 to 256 characters, on one line";
            return Err(AdminError::BadField { field: "reason", rule });
        }
        let account = self.find(name).await?;
        let purpose = self.purpose(&account, Rights::ENROL).await?;
        let who = account.identity;
        let (new, link) = self.print(who.account, &purpose, lifetime)?;
        let done = self.deps.tickets.reset_second_factor(&new).await?;
        // Sessions end first: if the row cannot be written, only the link is withheld.
        let event = |_ended| Event::SecondFactorReset { reason: reason.to_owned() };
        let sessions_ended = self.end_after(done, &who, "second factor removed", event).await?;
        self.record_link(&link, &who).await?;
        Ok(SecondFactorReset { link, sessions_ended })
    }

    /// Creates the link that a new account needs, if any.
    pub(super) async fn first_link(
        &self,
        who: &Identity,
        has_password: bool,
    ) -> Result<Option<Link>, AdminError> {
        let rights = match (has_password, self.deps.enrolment) {
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
        self.may_open().await?;
        if !self.deps.tickets.issue(&new).await? {
            let account = self.find(&who.name).await?;
            return Err(AdminError::Disabled(account.identity.name));
        }
        self.record_link(&link, who).await?;
        Ok(link)
    }

    /// Records the link in the audit log. A link without a row is not shown.
    async fn record_link(&self, link: &Link, who: &Identity) -> Result<(), AdminError> {
        let event = Event::TicketMade { asked: link.rights.asked(), expires_at: link.expires_at };
        let context = Context::operator(&self.deps.operator, Some(who));
        self.deps.trail.record(event, &context).await.map_err(AdminError::LinkWithheld)
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
        let (now, random) = (self.deps.clock.now(), &*self.deps.random);
        let purpose = (*rights, asks.as_deref());
        Ok(self.deps.printer.print(account, purpose, lifetime, now, random)?)
    }

    async fn purpose(&self, account: &Account, rights: Rights) -> Result<Purpose, AdminError> {
        if account.password.is_some() {
            return Ok((rights, None));
        }
        let name = &account.identity.name;
        let apps = self.apps_of(name).await?;
        let urls = &self.deps.printer.app_urls;
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
