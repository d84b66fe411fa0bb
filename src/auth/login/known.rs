//! Sign-ins from where the account does not know them, which its person is told of.

use std::time::Duration;

use super::{LoginError, LoginService};
use crate::auth::account::Account;
use crate::auth::audit::{Caller, Record};
use crate::auth::ports::AuditQuery;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;

/// Time for which a client without cookies is known by an earlier sign-in.
const CLIENT_KNOWN_FOR: Duration = Duration::from_hours(24 * 30);
/// Rows that are looked through.
const LOOK_BACK: u32 = 200;

impl LoginService {
    /// Returns true if the account does not know the browser. A client of an app's own often keeps no
    /// cookies: it is known by an earlier sign-in from the same network with the same `User-Agent`.
    /// That is less than a cookie, and is worth no more than that nobody gets mail about it.
    pub(super) async fn is_new(
        &self,
        account: &Account,
        login: &PendingLogin,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        // The very first sign-in is told of by what it set up.
        if !account.ever_enrolled || self.knows_browser(account, caller) {
            return Ok(false);
        }
        if login.begun_with != BegunWith::AppClient {
            return Ok(true);
        }
        let known_for = u64::try_from(CLIENT_KNOWN_FOR.as_millis()).unwrap_or(u64::MAX);
        let asked = AuditQuery {
            since: Timestamp::from_millis(self.now().as_millis().saturating_sub(known_for)),
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

/// Returns true if a row is about a client of the same network that calls itself the same.
fn is_of(row: &Record, caller: &Caller) -> bool {
    let address = row.content.address.as_deref().and_then(|a| a.parse::<ClientIp>().ok());
    let here = caller.device.address;
    // Clients of unknown address are of no network that anybody could know.
    here.is_known()
        && address.map(ClientIp::network) == Some(here.network())
        && row.content.user_agent.as_ref() == Some(&caller.device.user_agent)
}
