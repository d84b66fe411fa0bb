//! Apps that check passwords themselves: their ids of users, their answers to a sign-in, and the
//! credentials they issue, which are kept until the second factor is verified.
//!
//! The protocol of an app is behind [`AppSignIn`].

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::account::LoginName;
use super::audit::Caller;
use super::turns::Asker;
use crate::base::secret::Secret;

/// Maximum length of an app's id of a user, in characters.
const SUBJECT_MAX: usize = 128;

/// An app's id of a user, independent of the typed name: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

/// The text is not an app's id of a user.
#[derive(Debug, thiserror::Error)]
#[error("not a user id of an app: 1 to 128 visible ASCII characters")]
pub struct NotASubject;

impl Subject {
    /// Returns the text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        let fits = (1..=SUBJECT_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(NotASubject) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of an attempt to link an account to a user of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Linked {
    /// The two are linked. They may have been linked before.
    Yes,
    /// The user of the app is linked to another account.
    SubjectTaken,
    /// The account is linked to another user of this app.
    AccountTaken,
    /// The account does not exist.
    NoAccount,
}

/// Credentials typed to sign in to an app.
#[derive(Debug)]
pub struct Typed {
    /// Name as typed.
    pub name: String,
    /// Password as typed.
    pub password: Secret,
    /// Code of the app's own second factor, if typed.
    pub code: Option<Secret>,
}

/// An app's answer as received, for a script that signs in at the app's own address.
#[derive(Default)]
pub struct Relayed {
    /// Status code.
    pub status: u16,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

/// Credentials that an app issued at a sign-in, kept sealed until the second factor is verified.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Values of the `Set-Cookie` lines.
    pub set_cookies: Vec<String>,
    /// Decoded tokens in the cookies and in the answer.
    pub tokens: Vec<String>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(***)")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set_cookies.zeroize();
        self.tokens.zeroize();
    }
}

/// An app's answer to a name and a password.
#[derive(Debug)]
#[must_use]
pub enum AppAnswer {
    /// The app accepted the credentials.
    Accepted {
        /// The app's id of the user.
        subject: Subject,
        /// Credentials that the app issued.
        held: Held,
        /// The app's answer.
        answer: Relayed,
    },
    /// The app requires a code of its own, and none was typed.
    CodeWanted(Relayed),
    /// The app rejected the name, the password or the code.
    Refused(Relayed),
    /// The app cannot decide at the moment.
    Undecided(Relayed),
}

/// The app did not answer a sign-in.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The app could not be reached or did not answer.
    #[error("the app {app} did not answer a sign-in: {reason}")]
    Silent {
        /// Name of the app.
        app: String,
        /// Reason, without secrets.
        reason: String,
    },
    /// The app was not asked: too many sign-ins are in progress.
    #[error("too many sign-ins are waiting for the app")]
    Busy,
}

/// The policy for users of an app that checks passwords itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppPolicy {
    /// True if a user of the app without an account gets one.
    pub provision: bool,
    /// True if a code that the app itself accepted counts as the second factor of accounts that
    /// never enrolled here.
    pub code_counts: bool,
}

/// Login names that the configuration refers to. Provisioning never assigns them to a user who
/// merely types them. A name stays reserved until the restart.
#[derive(Debug, Default)]
pub struct ReservedNames(ArcSwap<BTreeSet<LoginName>>);

impl ReservedNames {
    /// Reserves these names at start.
    pub fn of(names: &BTreeSet<LoginName>) -> Self {
        let reserved = Self::default();
        reserved.add(names);
        reserved
    }

    /// Reserves these names as well.
    pub fn add(&self, names: &BTreeSet<LoginName>) {
        self.0.rcu(|known| known.union(names).cloned().collect::<BTreeSet<_>>());
    }

    /// Returns true if the configuration refers to `name`.
    pub fn contains(&self, name: &LoginName) -> bool {
        self.0.load().contains(name)
    }
}

/// The apps that check the first factor themselves.
#[async_trait]
pub trait AppSignIn: Send + Sync {
    /// Returns the policy for users of `app`, or `None` if Vestibule checks their passwords.
    fn policy(&self, app: &str) -> Option<AppPolicy>;
    /// Asks the app to check the credentials.
    async fn ask(
        &self,
        app: &str,
        typed: &Typed,
        caller: &Caller,
        asker: Asker,
    ) -> Result<AppAnswer, NoAnswer>;
    /// Revokes unused credentials that an app issued, in the background.
    fn give_up(&self, app: &str, held: Held);
}

/// No app checks the first factor itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAppSignIn;

#[async_trait]
impl AppSignIn for NoAppSignIn {
    fn policy(&self, _app: &str) -> Option<AppPolicy> {
        None
    }

    async fn ask(
        &self,
        app: &str,
        _typed: &Typed,
        _caller: &Caller,
        _asker: Asker,
    ) -> Result<AppAnswer, NoAnswer> {
        let reason = "it does not check passwords".to_owned();
        Err(NoAnswer::Silent { app: app.to_owned(), reason })
    }

    fn give_up(&self, _app: &str, _held: Held) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_person_is_short_and_visible() {
        assert!("5d38a6f79fae870000000001".parse::<Subject>().is_ok());
        for bad in ["", "a b", "é", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_stays_reserved_when_others_are_added() {
        let name = |text| LoginName::parse(text).unwrap();
        let reserved = ReservedNames::of(&BTreeSet::from([name("ada")]));
        reserved.add(&BTreeSet::from([name("bob")]));
        assert!(reserved.contains(&name("Ada")) && reserved.contains(&name("bob")));
        assert!(!reserved.contains(&name("eve")));
    }
}
