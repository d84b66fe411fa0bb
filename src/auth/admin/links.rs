//! Links between accounts and users of an app. Only operators create them; a typed name never does.

use std::fmt;
use std::sync::Arc;

use super::error::AdminError;
use super::journal::OperatorJournal;
use crate::auth::account::LoginName;
use crate::auth::app_sign_in::{Linked, Subject};
use crate::auth::audit::Event;
use crate::auth::ports::AppAccounts;
use crate::base::clock::Clock;

/// Links accounts to users of apps.
pub struct LinkAdmin {
    pub(super) journal: Arc<OperatorJournal>,
    pub(super) app_accounts: Arc<dyn AppAccounts>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for LinkAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkAdmin(…)")
    }
}

impl LinkAdmin {
    /// Links an account to a user of `app`.
    pub async fn link(
        &self,
        name: &LoginName,
        app: &str,
        subject: &Subject,
    ) -> Result<(), AdminError> {
        let who = self.journal.find(name).await?.identity;
        self.journal.may_open().await?;
        let linked_before = self.apps_of(name).await?.iter().any(|known| known == app);
        let now = self.clock.now();
        match self.app_accounts.link(who.account, app, subject, now).await? {
            Linked::Yes => {}
            Linked::NoAccount => return Err(AdminError::NoSuchUser(name.clone())),
            Linked::AccountTaken => {
                return Err(AdminError::LinkedAlready { name: name.clone(), app: app.to_owned() });
            }
            Linked::SubjectTaken => {
                let held = self.app_accounts.by_subject(app, subject).await?;
                let by = held.map_or_else(|| name.clone(), |account| account.identity.name);
                return Err(AdminError::SubjectTaken { subject: subject.clone(), by });
            }
        }
        let event = Event::AppUserLinked { app: app.to_owned(), subject: subject.to_string() };
        let close = async {
            if linked_before {
                return Ok(false);
            }
            self.app_accounts.unlink(who.account, app, now).await
        };
        self.journal.record_opened(event, &who, close).await
    }

    /// Returns the apps that an account is linked to.
    pub async fn apps_of(&self, name: &LoginName) -> Result<Vec<String>, AdminError> {
        let who = self.journal.find(name).await?.identity;
        let links = self.app_accounts.links_of(who.account).await?;
        Ok(links.into_iter().map(|(app, _)| app).collect())
    }

    /// Removes a link and ends the sessions of the account. Returns the number of sessions ended.
    pub async fn unlink(&self, name: &LoginName, app: &str) -> Result<u64, AdminError> {
        let who = self.journal.find(name).await?.identity;
        let now = self.clock.now();
        if !self.app_accounts.unlink(who.account, app, now).await? {
            return Err(AdminError::NotLinked { name: name.clone(), app: app.to_owned() });
        }
        let event = |_ended| Event::AppUserUnlinked { app: app.to_owned() };
        self.journal.end_after(true, &who, "link removed", event).await
    }
}
