//! Apps that keep the passwords of their people: how they name a person, what they say to a
//! sign-in, and what is kept of their answer until ours is done.
//!
//! It does not know how an app is asked: that is behind [`AppSignIn`].

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

/// Most characters in the name an app has for a person.
const SUBJECT_MAX: usize = 128;

/// How an app names a person, whatever they type to sign in: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

/// Not such a name.
#[derive(Debug, thiserror::Error)]
#[error("not the id of a person at an app: 1 to 128 visible ASCII characters")]
pub struct NotASubject;

impl Subject {
    /// Its text.
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

/// Whether an account and a person of an app are now one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Linked {
    /// They are, and may have been before.
    Yes,
    /// The person is linked to another account.
    SubjectTaken,
    /// The account is linked to another person of this app.
    AccountTaken,
    /// There is no such account.
    NoAccount,
}

/// What somebody typed to sign in to an app.
#[derive(Debug)]
pub struct Typed {
    /// The name as typed.
    pub name: String,
    /// The password as typed.
    pub password: Secret,
    /// The code of the app's own second factor, where one was typed.
    pub code: Option<Secret>,
}

/// An answer of an app, as it came: for a script that signs in by the app's own address.
#[derive(Default)]
pub struct Relayed {
    /// Its status.
    pub status: u16,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
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

/// What an app gave out at a sign-in: kept sealed until the second factor is proved.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The values of its `Set-Cookie` lines.
    pub set_cookies: Vec<String>,
    /// The tokens in them and in its answer, decoded.
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

/// What an app says to a name and a password.
#[derive(Debug)]
#[must_use]
pub enum AppAnswer {
    /// They are right.
    Accepted {
        /// Whose they are.
        subject: Subject,
        /// What it gave out.
        held: Held,
        /// How it said so.
        answer: Relayed,
    },
    /// It wants a code of its own, and none was typed.
    CodeWanted(Relayed),
    /// They are wrong, or the code is.
    Refused(Relayed),
    /// It cannot say at this moment.
    Undecided(Relayed),
}

/// The app did not say anything to a sign-in.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It was not heard.
    #[error("the app {app} did not answer to a sign-in: {reason}")]
    Silent {
        /// Which.
        app: String,
        /// Why, without secrets.
        reason: String,
    },
    /// It was not asked: too many are being asked at this moment.
    #[error("too many sign-ins wait for an answer of an app")]
    Busy,
}

/// How the people of an app are taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppPolicy {
    /// Somebody the app knows and we do not gets an account.
    pub provision: bool,
    /// A code that the app itself asked for and took is the second factor of accounts that were
    /// never enrolled here.
    pub code_counts: bool,
}

/// Login names that the configuration means somebody by: they are given to nobody who merely types
/// them. A name that was meant once stays reserved until the restart.
#[derive(Debug, Default)]
pub struct ReservedNames(ArcSwap<BTreeSet<LoginName>>);

impl ReservedNames {
    /// These, to begin with.
    pub fn of(names: &BTreeSet<LoginName>) -> Self {
        let reserved = Self::default();
        reserved.add(names);
        reserved
    }

    /// Reserves these as well.
    pub fn add(&self, names: &BTreeSet<LoginName>) {
        self.0.rcu(|known| known.union(names).cloned().collect::<BTreeSet<_>>());
    }

    /// Whether somebody is meant by `name`.
    pub fn contains(&self, name: &LoginName) -> bool {
        self.0.load().contains(name)
    }
}

/// The apps that check the first factor themselves.
#[async_trait]
pub trait AppSignIn: Send + Sync {
    /// How the people of `app` are taken up; nothing where their passwords are ours to check.
    fn policy(&self, app: &str) -> Option<AppPolicy>;
    /// Asks the app.
    async fn ask(
        &self,
        app: &str,
        typed: &Typed,
        caller: &Caller,
        asker: Asker,
    ) -> Result<AppAnswer, NoAnswer>;
    /// Takes back what an app gave out, off the path: nobody will use it.
    fn give_up(&self, app: &str, held: Held);
}

/// No app does.
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
