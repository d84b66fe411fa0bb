//! Removal of a user's passkey or security key by an operator.

use super::error::AdminError;
use super::recovery::{RecoveryAdmin, checked_reason};
use crate::auth::account::LoginName;
use crate::auth::audit::Event;
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::ports::AuthenticatorRemoved;
use crate::base::id::FactorId;

impl RecoveryAdmin {
    /// Removes a key, also the last second factor, and ends the user's sessions. Returns the number of
    /// sessions ended. A user without a second factor needs a one-time link to enrol again.
    pub async fn remove_key(
        &self,
        name: &LoginName,
        key: FactorId,
        reason: &str,
    ) -> Result<u64, AdminError> {
        let reason = checked_reason(reason)?;
        let who = self.journal.find(name).await?.identity;
        let which = (AuthenticatorKind::Webauthn, key);
        let now = self.clock.now();
        let removed =
            self.authenticators.remove_authenticator(who.account, which, None, now).await?;
        let AuthenticatorRemoved::Yes { name: key_name } = removed else {
            return Err(AdminError::NoSuchKey(name.clone()));
        };
        let event =
            |_ended| Event::KeyRemoved { key, name: key_name, reason: Some(reason.to_owned()) };
        self.journal.end_after(true, &who, "key removed", event).await
    }
}
