//! First factors: the ways in which the users of an app prove who they are, before the second factor.
//! Each app has one.
//!
//! A method checks what was typed and names the user. Attempt limits, audit events and the login that
//! follows are the same for every method: `auth::login`.

mod app;
mod method;
mod password;

use std::sync::Arc;

use super::app_sign_in::AppSignIn;
use super::password::PasswordPool;
use super::ports::Accounts;

use self::app::AppMethod;
pub use self::method::{Accepted, FirstAnswer, FirstFactorMethod, NotChecked, ProvedUser};
use self::password::PasswordMethod;

/// The first factors of all apps.
pub struct FirstFactors {
    apps: Arc<dyn AppSignIn>,
    by_app: AppMethod,
    by_password: PasswordMethod,
}

impl std::fmt::Debug for FirstFactors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FirstFactors")
    }
}

impl FirstFactors {
    /// Creates the methods over these stores and services.
    pub fn new(
        accounts: &Arc<dyn Accounts>,
        passwords: &Arc<PasswordPool>,
        apps: &Arc<dyn AppSignIn>,
    ) -> Self {
        Self {
            apps: Arc::clone(apps),
            by_app: AppMethod::new(Arc::clone(apps)),
            by_password: PasswordMethod::new(Arc::clone(accounts), Arc::clone(passwords)),
        }
    }

    /// Returns the method of an app.
    pub fn of(&self, app: &str) -> &dyn FirstFactorMethod {
        if self.apps.policy(app).is_some() { &self.by_app } else { &self.by_password }
    }
}
