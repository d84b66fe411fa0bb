//! What an operator does when somebody cannot sign in: links to set a password or a second factor.

use std::time::Duration;

use super::{AccountAdmin, AdminError};
use crate::auth::account::{Account, Identity, LoginName};
use crate::auth::audit::Event;
use crate::auth::ticket::{FirstEnrolment, LONGEST, Link, NewTicket, Rights};
use crate::base::id::AccountId;

/// Most characters of a reason.
const REASON_MAX: usize = 256;

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
    /// password is given the right to set one, for nothing else could be done with the link.
    pub async fn ticket(
        &self,
        name: &LoginName,
        rights: Rights,
        lifetime: Option<Duration>,
    ) -> Result<Link, AdminError> {
        let account = self.find(name).await?;
        let rights = with_password(&account, rights);
        self.issue(&account.identity, rights, lifetime).await
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
        let rights = with_password(&account, Rights::ENROL);
        let who = account.identity;
        let (new, link) = self.print(who.account, rights, lifetime)?;
        let done = self.deps.tickets.reset_second_factor(&new).await?;
        if done {
            let (asked, expires_at) = (rights.asked(), link.expires_at);
            self.record(Event::TicketMade { asked, expires_at }, Some(&who)).await?;
        }
        let event = |_ended| Event::SecondFactorReset { reason: reason.to_owned() };
        let sessions_ended =
            self.end_after(done, &who, "left without a second factor", event).await?;
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
        self.issue(who, rights, None).await.map(Some)
    }

    async fn issue(
        &self,
        who: &Identity,
        rights: Rights,
        lifetime: Option<Duration>,
    ) -> Result<Link, AdminError> {
        let (new, link) = self.print(who.account, rights, lifetime)?;
        if !self.deps.tickets.issue(&new).await? {
            let account = self.find(&who.name).await?;
            return Err(AdminError::Disabled(account.identity.name));
        }
        let event = Event::TicketMade { asked: rights.asked(), expires_at: link.expires_at };
        self.record(event, Some(who)).await?;
        Ok(link)
    }

    fn print(
        &self,
        account: AccountId,
        rights: Rights,
        lifetime: Option<Duration>,
    ) -> Result<(NewTicket, Link), AdminError> {
        if lifetime.is_some_and(|time| time.is_zero() || time > LONGEST) {
            let rule = "a link lives for more than nothing and at most a week";
            return Err(AdminError::BadField { field: "time to live", rule });
        }
        let (now, random) = (self.deps.clock.now(), &*self.deps.random);
        Ok(self.deps.printer.print(account, rights, lifetime, now, random)?)
    }
}

fn with_password(account: &Account, rights: Rights) -> Rights {
    Rights { password: rights.password || account.password.is_none(), ..rights }
}
