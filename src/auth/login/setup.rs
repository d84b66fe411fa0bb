//! Tickets: the one-time links that set a password or enrol a second factor.
//!
//! Opening a ticket changes nothing. A ticket that sets a password replaces the password once; its
//! other right then requires the new password. A link alone never signs a user in: the same login
//! requires the credentials that it sets.
//!
//! If an app checks the passwords, a ticket does not replace them. The app is asked, and no
//! password of Vestibule's is set for a user without one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::deps::LoginDeps;
use super::events::{Journal, count_failure, throttled};
use super::first_again::{Checked, FirstAgain};
use super::guesses::{MayTry, PasswordLimits};
use super::logins::Logins;
use super::sessions::OpenSessions;
use super::{AppRef, LoginError};
use crate::auth::account::{Account, LoginName};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::{Caller, Context, Event, Guess, TicketPurpose};
use crate::auth::database_clock::reach;
use crate::auth::first_factor::FirstFactors;
use crate::auth::password::{NewPasswordError, PasswordRefused};
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{FirstCheck, PasswordProof};
use crate::auth::throttle::{AttemptKey, Verdict};
use crate::auth::ticket::Ticket;
use crate::auth::token::{PendingToken, PlainToken, TicketToken};
use crate::base::secret::Secret;

/// The requirements of a ticket.
#[derive(Debug)]
#[must_use]
pub enum TicketView {
    /// A new password.
    NewPassword {
        /// Login name.
        name: LoginName,
    },
    /// The current password.
    Password {
        /// Login name.
        name: LoginName,
    },
    /// The name and the password at the app, which checks them.
    AppPassword {
        /// Login name.
        name: LoginName,
    },
    /// The ticket is valid, but not at this app.
    Elsewhere {
        /// Login name.
        name: LoginName,
        /// Reason.
        why: Elsewhere,
    },
    /// The ticket is invalid: unknown, used, replaced or expired. One answer for every cause.
    Worthless,
    /// Too many invalid tickets: the remaining wait.
    Wait(Duration),
}

/// The reason why a valid ticket cannot be used at an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// There is no password of Vestibule's to ask for: the app of this name checks it.
    KeptBy(String),
    /// The app here checks passwords itself, and the account is not linked to it.
    NotLinked,
    /// The ticket sets a password of Vestibule's, but the app here checks its own.
    SetsOurs,
}

/// The result of a password sent with a ticket.
#[derive(Debug)]
#[must_use]
pub enum Redeemed {
    /// A login has begun; enrolment or the second factor comes next.
    Begun {
        /// Token of the pending login.
        token: PlainToken<PendingToken>,
        /// True if enrolment comes next.
        enrol: bool,
    },
    /// The new password does not meet the policy.
    Unfit {
        /// Login name.
        name: LoginName,
        /// Reason.
        why: PasswordRefused,
    },
    /// The password is wrong.
    Wrong {
        /// Login name.
        name: LoginName,
    },
    /// The app that checks the password also requires a code of its own.
    AppCodeWanted {
        /// Login name.
        name: LoginName,
    },
    /// As [`TicketView::Elsewhere`].
    Elsewhere {
        /// Login name.
        name: LoginName,
        /// Reason.
        why: Elsewhere,
    },
    /// Too many attempts.
    Wait {
        /// Login name; `None` if the ticket was not looked up.
        name: Option<LoginName>,
        /// Remaining wait.
        wait: Duration,
    },
    /// As [`TicketView::Worthless`].
    Worthless,
}

/// The proof that a ticket requires.
enum RequiredProof {
    NewPassword,
    Password,
    AppPassword,
    Elsewhere(Elsewhere),
}

enum Found {
    Ticket(Ticket, Box<Account>, RequiredProof),
    Nothing,
    Wait(Duration),
}

/// One-time links.
pub struct OneTimeLinks {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) first_factors: Arc<FirstFactors>,
    pub(super) journal: Arc<Journal>,
    pub(super) limits: Arc<PasswordLimits>,
    pub(super) first_again: Arc<FirstAgain>,
    pub(super) logins: Arc<Logins>,
    pub(super) sessions: Arc<OpenSessions>,
}

impl fmt::Debug for OneTimeLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeLinks(…)")
    }
}

impl OneTimeLinks {
    /// Returns the requirements of the ticket under `token`. Changes only the counter of invalid
    /// tickets.
    pub async fn ticket(
        &self,
        app: AppRef<'_>,
        token: Option<&PlainToken<TicketToken>>,
        caller: &Caller,
    ) -> Result<TicketView, LoginError> {
        Ok(match self.find_ticket(app, token, caller).await? {
            Found::Nothing => TicketView::Worthless,
            Found::Wait(wait) => TicketView::Wait(wait),
            Found::Ticket(_, account, asked) => {
                let name = account.identity.name;
                match asked {
                    RequiredProof::NewPassword => TicketView::NewPassword { name },
                    RequiredProof::Password => TicketView::Password { name },
                    RequiredProof::AppPassword => TicketView::AppPassword { name },
                    RequiredProof::Elsewhere(why) => TicketView::Elsewhere { name, why },
                }
            }
        })
    }

    /// Sets or checks the password, as the ticket requires, and begins a login.
    pub async fn redeem(
        &self,
        app: AppRef<'_>,
        token: Option<&PlainToken<TicketToken>>,
        typed: Typed,
        caller: &Caller,
    ) -> Result<Redeemed, LoginError> {
        let (ticket, account, asked) = match self.find_ticket(app, token, caller).await? {
            Found::Nothing => return Ok(Redeemed::Worthless),
            Found::Wait(wait) => return Ok(Redeemed::Wait { name: None, wait }),
            Found::Ticket(ticket, account, asked) => (ticket, account, asked),
        };
        let Some(token) = token else { return Ok(Redeemed::Worthless) };
        let begun = match asked {
            RequiredProof::NewPassword => {
                self.set_by_ticket(app, token, &account, &typed.password, caller).await?
            }
            RequiredProof::Password | RequiredProof::AppPassword => {
                self.check_with_ticket(app, token, &account, typed, caller).await?
            }
            RequiredProof::Elsewhere(why) => {
                return Ok(Redeemed::Elsewhere { name: account.identity.name, why });
            }
        };
        let mut login = match begun {
            Ok(login) => login,
            Err(answer) => return Ok(answer),
        };
        let enrol = ticket.rights.second_factor;
        if enrol {
            login.begun_with = BegunWith::PasswordAndTicket(token.hashed().to_hex());
        }
        Ok(Redeemed::Begun { token: self.logins.file_login(&login).await?, enrol })
    }

    /// Looks up a ticket. Only misses are counted: a token has 256 random bits, so it cannot be
    /// guessed, and a valid link is never delayed.
    async fn find_ticket(
        &self,
        app: AppRef<'_>,
        token: Option<&PlainToken<TicketToken>>,
        caller: &Caller,
    ) -> Result<Found, LoginError> {
        let now = self.deps.now();
        let ticket = match token {
            Some(token) => self.deps.tickets.by_token(token.hashed(), now).await?,
            None => None,
        };
        let account = match &ticket {
            Some(ticket) => self.deps.accounts.by_id(ticket.account).await?,
            None => None,
        };
        let asked = match (&ticket, account.filter(|a| !a.disabled)) {
            (Some(ticket), Some(account)) => {
                let asked = self.asked_for(app, *ticket, &account).await?;
                asked.map(|asked| (account, asked))
            }
            _ => None,
        };
        let Some((ticket, (account, asked))) = ticket.zip(asked) else {
            return self.no_such_ticket(caller).await;
        };
        Ok(Found::Ticket(ticket, Box::new(account), asked))
    }

    async fn no_such_ticket(&self, caller: &Caller) -> Result<Found, LoginError> {
        let key = AttemptKey::ticket(&self.deps.keys, caller.device.address);
        let budget = [(key.clone(), self.deps.budgets().address)];
        if let Verdict::Wait(wait) = self.deps.attempts.pace(&budget, self.deps.now()).await? {
            let event = throttled(Guess::Ticket, wait, None);
            self.journal.record_throttled(&[key], event, wait, &Context::unknown(caller)).await?;
            return Ok(Found::Wait(wait));
        }
        count_failure("ticket");
        tracing::info!(event = "ticket_refused", address = %caller.device.address, "invalid one-time link");
        Ok(Found::Nothing)
    }

    /// Returns the proof that a ticket requires at an app, or `None` if the ticket is invalid
    /// everywhere. A user of an app without a password of Vestibule's never sets one, even if the
    /// ticket allows it.
    async fn asked_for(
        &self,
        app: AppRef<'_>,
        ticket: Ticket,
        account: &Account,
    ) -> Result<Option<RequiredProof>, LoginError> {
        let ours = account.password.is_some();
        let links = self.deps.app_accounts.links_of(account.id()).await?;
        let sets = ticket.rights.password && (ours || links.is_empty());
        if !sets && !ticket.rights.second_factor {
            return Ok(None);
        }
        let kept_here = self.first_factors.of(app.name).kind().is_kept_here();
        let here = links.iter().any(|(at, _)| at == app.name);
        let kept_by = links.into_iter().next().map(|(at, _)| Elsewhere::KeptBy(at));
        let kept_by = kept_by.filter(|_| !ours).map(RequiredProof::Elsewhere);
        Ok(match (kept_here, sets) {
            (true, true) => Some(RequiredProof::NewPassword),
            (true, false) if ours => Some(RequiredProof::Password),
            (true, false) => kept_by,
            (false, true) if ours => Some(RequiredProof::Elsewhere(Elsewhere::SetsOurs)),
            (false, false) if here => Some(RequiredProof::AppPassword),
            (false, _) => kept_by.or(Some(RequiredProof::Elsewhere(Elsewhere::NotLinked))),
        })
    }

    async fn set_by_ticket(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<TicketToken>,
        account: &Account,
        password: &Secret,
        caller: &Caller,
    ) -> Result<Result<PendingLogin, Redeemed>, LoginError> {
        let record = match self.deps.passwords.hash_new(password, &account.identity).await {
            Ok(record) => record,
            Err(NewPasswordError::Refused(why)) => {
                return Ok(Err(Redeemed::Unfit { name: account.identity.name.clone(), why }));
            }
            Err(NewPasswordError::Hash(error)) => return Err(error.into()),
        };
        self.journal.may_record().await?;
        let now = self.deps.now();
        let used = self.deps.tickets.redeem_password(token.hashed(), &record, now).await?;
        let Some(id) = used else { return Ok(Err(Redeemed::Worthless)) };
        let context = Context::person(caller, &account.identity);
        self.journal
            .record_done(Event::TicketUsed { asked: TicketPurpose::Password }, &context)
            .await;
        let keys = self.deps.remaining_keys(id).await;
        self.journal.record_done(Event::PasswordChanged { by: "ticket", keys }, &context).await;
        self.sessions.forget_others(id, None).await;
        let proof = PasswordProof::assertion(id, FirstCheck::Ticket);
        // What began before was ended.
        let database = self.deps.nodes.time().await.unwrap_or(now);
        let begun_at = reach(database, self.deps.now());
        Ok(Ok(self.logins.begin(app, &proof, "/".to_owned(), begun_at)))
    }

    async fn check_with_ticket(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<TicketToken>,
        account: &Account,
        typed: Typed,
        caller: &Caller,
    ) -> Result<Result<PendingLogin, Redeemed>, LoginError> {
        let name = account.identity.name.clone();
        let asked_at = self.deps.now();
        let context = Context::person(caller, &account.identity);
        let digest = self.deps.keys.name_digest(name.as_str());
        let tried = match self.limits.may_try_with_ticket(token.hashed()).await? {
            MayTry::Yes(tried) => tried,
            MayTry::Wait { wait, keys } => {
                let event = throttled(Guess::Password, wait, Some(digest));
                self.journal.record_throttled(&keys, event, wait, &context).await?;
                return Ok(Err(Redeemed::Wait { name: Some(name), wait }));
            }
        };
        let checked =
            self.first_again.check_again(app.name, &account.identity, typed, caller).await;
        if !matches!(checked, Ok(Checked::Wrong)) {
            self.deps.attempts.forgive(&tried.keys).await?;
        }
        let proof = match checked? {
            Checked::Right(proof) => proof,
            Checked::CodeWanted => return Ok(Err(Redeemed::AppCodeWanted { name })),
            Checked::Wrong => {
                self.journal.record_wrong_password(caller, Some(&account.identity), digest).await?;
                return Ok(Err(Redeemed::Wrong { name }));
            }
        };
        self.journal.record_about(&account.identity, Event::PasswordRight, caller).await?;
        Ok(Ok(self.logins.begin(app, &proof, "/".to_owned(), asked_at)))
    }
}
