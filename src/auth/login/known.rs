//! Detection of sign-ins from unknown clients, which the user is notified of.

use std::time::Duration;

use super::LoginError;
use super::new_sessions::NewSessions;
use crate::auth::account::Account;
use crate::auth::audit::{Caller, Record};
use crate::auth::ports::AuditQuery;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;

/// Time for which a client without cookies is known from an earlier sign-in.
const CLIENT_KNOWN_FOR: Duration = Duration::from_hours(24 * 30);
/// Maximum number of audit rows searched.
const LOOK_BACK: u32 = 200;

impl NewSessions {
    /// Returns true if the account does not know the browser. An app's own client often keeps no
    /// cookies: it is known from an earlier sign-in from the same network with the same
    /// `User-Agent`. That is weaker than a cookie and only suppresses a mail.
    pub(super) async fn is_new(
        &self,
        account: &Account,
        login: &PendingLogin,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        // The notice about enrolment covers the very first sign-in.
        if !account.ever_enrolled || self.limits.knows_browser(account, caller) {
            return Ok(false);
        }
        if login.begun_with != BegunWith::AppClient {
            return Ok(true);
        }
        let known_for = u64::try_from(CLIENT_KNOWN_FOR.as_millis()).unwrap_or(u64::MAX);
        let asked = AuditQuery {
            since: Timestamp::from_millis(self.deps.now().as_millis().saturating_sub(known_for)),
            account: Some(account.id()),
            event: Some("signed_in".to_owned()),
            ..AuditQuery::newest(LOOK_BACK)
        };
        let rows = self.deps.trail.find(&asked).await?;
        Ok(!rows
            .iter()
            .any(|row| account.knows_browsers_since(row.content.at) && is_of(row, caller)))
    }
}

/// Returns true if a row is about a client of the same network with the same `User-Agent`.
fn is_of(row: &Record, caller: &Caller) -> bool {
    let address = row.content.address.as_deref().and_then(|a| a.parse::<ClientIp>().ok());
    let here = caller.device.address;
    // Clients of unknown address do not belong to a known network.
    here.is_known()
        && address.map(ClientIp::network) == Some(here.network())
        && row.content.user_agent.as_ref() == Some(&caller.device.user_agent)
}
