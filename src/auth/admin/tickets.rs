//! What an operator does when somebody cannot sign in: links to set a password or a second factor.

use std::time::Duration;

use super::{AccountAdmin, AdminError};
use crate::auth::account::{Account, Identity, LoginName};
use crate::auth::audit::{Context, Event};
use crate::auth::ticket::{FirstEnrolment, LONGEST, Link, NewTicket, Rights};
use crate::base::id::AccountId;

/// Most characters of a reason.
const REASON_MAX: usize = 256;

/// What a link is to be good for, and the app that is asked for the password with it, where it keeps
/// it.
type Purpose = (Rights, Option<String>);

/// What came of taking a person's second factor away.
#[derive(Debug)]
pub struct SecondFactorReset {
    /// The link to enrol a new one.
    pub link: Link,
    /// How many sessions were ended.
    pub sessions_ended: u64,
}

impl AccountAdmin {
    /// A link of an account for what `rights` say, in place of any link made before. One without a
    /// password is given the right to set one, for nothing else could be done with the link; not so
    /// somebody of an app, which keeps the password and is asked for it.
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

    /// Takes authenticator and recovery codes away, ends the sessions, and makes a link to enrol
    /// anew. The password stays, and is asked for with the link.
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
            let rule = "say why in 1 to 256 characters, on one line";
            return Err(AdminError::BadField { field: "reason", rule });
        }
        let account = self.find(name).await?;
        let purpose = self.purpose(&account, Rights::ENROL).await?;
        let who = account.identity;
        let (new, link) = self.print(who.account, &purpose, lifetime)?;
        let done = self.deps.tickets.reset_second_factor(&new).await?;
        // The sessions first: a row that cannot be written keeps nobody in, only the link back.
        let event = |_ended| Event::SecondFactorReset { reason: reason.to_owned() };
        let sessions_ended =
            self.end_after(done, &who, "left without a second factor", event).await?;
        self.record_link(&link, &who).await?;
        Ok(SecondFactorReset { link, sessions_ended })
    }

    /// The link that a new account needs, if it needs one.
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

    /// A link that the audit trail does not tell of is not shown to anybody.
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
            let rule = "a link lives for more than nothing and at most a week";
            return Err(AdminError::BadField { field: "time to live", rule });
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
