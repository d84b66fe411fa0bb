//! Links between accounts and users of an app. Only operators create them; a typed name never does.

use super::{AccountAdmin, AdminError};
use crate::auth::account::LoginName;
use crate::auth::app_sign_in::{Linked, Subject};
use crate::auth::audit::Event;

impl AccountAdmin {
    /// Links an account to a user of `app`.
    pub async fn link(
        &self,
        name: &LoginName,
        app: &str,
        subject: &Subject,
    ) -> Result<(), AdminError> {
        let who = self.find(name).await?.identity;
        self.may_open().await?;
        let linked_before = self.apps_of(name).await?.iter().any(|known| known == app);
        let now = self.deps.clock.now();
        match self.deps.app_accounts.link(who.account, app, subject, now).await? {
            Linked::Yes => {}
            Linked::NoAccount => return Err(AdminError::NoSuchUser(name.clone())),
            Linked::AccountTaken => {
                return Err(AdminError::LinkedAlready { name: name.clone(), app: app.to_owned() });
            }
            Linked::SubjectTaken => {
                let held = self.deps.app_accounts.by_subject(app, subject).await?;
                let by = held.map_or_else(|| name.clone(), |account| account.identity.name);
                return Err(AdminError::SubjectTaken { subject: subject.clone(), by });
            }
        }
        let event = Event::AppUserLinked { app: app.to_owned(), subject: subject.to_string() };
        let close = async {
            if linked_before {
                return Ok(false);
            }
            self.deps.app_accounts.unlink(who.account, app, now).await
        };
        self.record_opened(event, &who, close).await
    }

    /// Returns the apps that an account is linked to.
    pub async fn apps_of(&self, name: &LoginName) -> Result<Vec<String>, AdminError> {
        let who = self.find(name).await?.identity;
        let links = self.deps.app_accounts.links_of(who.account).await?;
        Ok(links.into_iter().map(|(app, _)| app).collect())
    }

    /// Removes a link and ends the sessions of the account. Returns the number of sessions ended.
    pub async fn unlink(&self, name: &LoginName, app: &str) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        let now = self.deps.clock.now();
        if !self.deps.app_accounts.unlink(who.account, app, now).await? {
            return Err(AdminError::NotLinked { name: name.clone(), app: app.to_owned() });
        }
        let event = |_ended| Event::AppUserUnlinked { app: app.to_owned() };
        self.end_after(true, &who, "link removed", event).await
    }
}
