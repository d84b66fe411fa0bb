//! Changes to email address, display name and groups.

use super::accounts::{AccountAdmin, check_fields};
use super::error::AdminError;
use crate::auth::account::{Identity, IdentityChange, LoginName};
use crate::auth::audit::{AccountChange, Event};
use crate::auth::ports::StoreError;

impl AccountAdmin {
    /// Changes the identity of an account in one step. Live sessions see the change within a
    /// second. Returns the actual change; an empty one is not recorded. A change that only removes
    /// groups removes access; any other change may grant access.
    pub async fn change_identity(
        &self,
        name: &LoginName,
        change: &IdentityChange,
    ) -> Result<AccountChange, AdminError> {
        check_fields(
            change.display_name.as_deref().filter(|name| !name.is_empty()),
            change.email.as_deref().filter(|email| !email.is_empty()),
            &change.add_groups,
        )?;
        if change.add_groups.iter().any(|group| change.remove_groups.contains(group)) {
            let rule = "the same group cannot be added and removed";
            return Err(AdminError::BadField { field: "group", rule });
        }
        let account = self.journal.find(name).await?.id();
        if change.may_open() {
            self.journal.may_open().await?;
        }
        let changed = self.accounts.change_identity(account, change).await?;
        let Some((before, after)) = changed else {
            return Err(AdminError::NoSuchUser(name.clone()));
        };
        let difference = difference(&before, &after);
        if before == after {
            return Ok(difference);
        }
        // Mail about the change goes to the former address.
        let event = Event::AccountChanged { change: difference.clone() };
        let row = if change.may_open() {
            let undo = self.undo(&before, &after);
            self.journal.record_opened(event, &before, undo).await
        } else {
            self.journal.record(event, Some(&before)).await
        };
        if let Err(error @ AdminError::Undone(_)) = row {
            return Err(error);
        }
        match self.sessions.identity_changed(account).await {
            Ok(()) => row.map(|()| difference),
            Err(source) => {
                let (name, recorded) = (name.clone(), row.is_ok());
                Err(AdminError::SessionsBehind { name, recorded, source })
            }
        }
    }

    /// Restores the former identity. A node that has read the changed one reads it again within
    /// five seconds, even if it misses the notification.
    async fn undo(&self, before: &Identity, after: &Identity) -> Result<bool, StoreError> {
        let back = IdentityChange::between(after, before);
        let undone = self.accounts.change_identity(before.account, &back).await?;
        drop(self.sessions.identity_changed(before.account).await);
        Ok(undone.is_some())
    }
}

fn difference(before: &Identity, after: &Identity) -> AccountChange {
    let change = IdentityChange::between(before, after);
    AccountChange {
        email: change.email.is_some(),
        display_name: change.display_name.is_some(),
        groups_added: change.add_groups,
        groups_removed: change.remove_groups,
    }
}
