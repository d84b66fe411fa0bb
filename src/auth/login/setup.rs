//! Tickets: the one-time links with which somebody sets a password or enrols a second factor.
//!
//! Looking at a ticket changes nothing. A ticket that sets a password stands in for it once; what
//! the ticket is good for beyond that asks for the password. Nobody gets in on a link alone: what
//! it sets is asked for in the same login.
//!
//! Where an app keeps the passwords, no ticket stands in for its word: the app is asked, and no
//! password of ours is set for somebody who has none.

use std::time::Duration;

use super::app_again::Checked;
use super::events::throttled;
use super::guesses::MayTry;
use super::service::count_failure;
use super::{AppRef, LoginError, LoginService, SecondFactor};
use crate::auth::account::{Account, LoginName};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::{Asked, Caller, Context, Event, Guess};
use crate::auth::password::{NewPasswordError, PasswordRefused};
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::PasswordProof;
use crate::auth::throttle::{AttemptKey, Verdict};
use crate::auth::ticket::Ticket;
use crate::auth::token::{PendingToken, PlainToken, TicketToken};
use crate::auth::turns::Asker;
use crate::base::id::AccountId;
use crate::base::secret::Secret;

/// What a ticket asks for.
#[derive(Debug)]
#[must_use]
pub enum TicketView {
    /// A new password.
    NewPassword {
        /// Whose account it is for.
        name: LoginName,
    },
    /// The password there is.
    Password {
        /// Whose account it is for.
        name: LoginName,
    },
    /// The name and the password at the app, which keeps it.
    AppPassword {
        /// Whose account it is for.
        name: LoginName,
    },
    /// It is good, and not at this app.
    Elsewhere {
        /// Whose account it is for.
        name: LoginName,
        /// Why.
        why: Elsewhere,
    },
    /// It is good for nothing: unknown, used, replaced or lapsed. One answer for every cause.
    Worthless,
    /// Too many worthless ones.
    Wait(Duration),
}

/// Why a ticket that is good opens nothing at an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// There is no password of ours to ask for: an app of this name keeps it.
    KeptBy(String),
    /// The app here keeps passwords, and the account is nobody there.
    NotLinked,
    /// The ticket sets a password of ours, and the app here keeps its own.
    SetsOurs,
}

/// What came of a password sent with a ticket.
#[derive(Debug)]
#[must_use]
pub enum Redeemed {
    /// A login has begun; enrolment comes next, or the second factor.
    Begun {
        /// The token of the login in progress.
        token: PlainToken<PendingToken>,
        /// Enrolment comes next.
        enrol: bool,
    },
    /// The new password is not taken.
    Unfit {
        /// Whose account it is for.
        name: LoginName,
        /// Why.
        why: PasswordRefused,
    },
    /// The password is not right.
    Wrong {
        /// Whose account it is for.
        name: LoginName,
    },
    /// The app that keeps the password wants a code of its own with it.
    AppCodeWanted {
        /// Whose account it is for.
        name: LoginName,
    },
    /// As [`TicketView::Elsewhere`].
    Elsewhere {
        /// Whose account it is for.
        name: LoginName,
        /// Why.
        why: Elsewhere,
    },
    /// Too many tries.
    Wait {
        /// Whose account it is for; nobody's when the ticket was not looked at.
        name: Option<LoginName>,
        /// For this long.
        wait: Duration,
    },
    /// As [`TicketView::Worthless`].
    Worthless,
}

/// What is asked for with a ticket.
enum Asks {
    NewPassword,
    Password,
    AppPassword,
    Elsewhere(Elsewhere),
}

enum Found {
    Ticket(Ticket, Box<Account>, Asks),
    Nothing,
    Wait(Duration),
}

impl LoginService {
    /// What the ticket under `token` asks for. Changes nothing but the counter of worthless ones.
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
                    Asks::NewPassword => TicketView::NewPassword { name },
                    Asks::Password => TicketView::Password { name },
                    Asks::AppPassword => TicketView::AppPassword { name },
                    Asks::Elsewhere(why) => TicketView::Elsewhere { name, why },
                }
            }
        })
    }

    /// Sets the password, or checks it, whatever the ticket asks for, and begins a login.
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
            Asks::NewPassword => {
                self.set_by_ticket(app, token, &account, &typed.password, caller).await?
            }
            Asks::Password | Asks::AppPassword => {
                self.check_with_ticket(app, token, &account, typed, caller).await?
            }
            Asks::Elsewhere(why) => {
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
        Ok(Redeemed::Begun { token: self.file_login(&login).await?, enrol })
    }

    /// Looks for a ticket. Only misses are counted: a token is 256 random bits, so that nobody comes
    /// upon one by trying, and a link that works is never kept waiting.
    async fn find_ticket(
        &self,
        app: AppRef<'_>,
        token: Option<&PlainToken<TicketToken>>,
        caller: &Caller,
    ) -> Result<Found, LoginError> {
        let now = self.now();
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
        let budget = [(key.clone(), self.deps.budgets.address)];
        if let Verdict::Wait(wait) = self.deps.attempts.pace(&budget, self.now()).await? {
            let event = throttled(Guess::Ticket, wait, None);
            self.record_throttled(&[key], event, wait, &Context::unknown(caller)).await?;
            return Ok(Found::Wait(wait));
        }
        count_failure("ticket");
        tracing::info!(event = "ticket_refused", address = %caller.device.address, "no such link");
        Ok(Found::Nothing)
    }

    /// What is asked for with a ticket at an app; nothing where it is good for nothing, here and
    /// elsewhere. Somebody of an app who has no password of ours sets none, whatever the ticket says.
    async fn asked_for(
        &self,
        app: AppRef<'_>,
        ticket: Ticket,
        account: &Account,
    ) -> Result<Option<Asks>, LoginError> {
        let ours = account.password.is_some();
        let links = self.deps.app_accounts.links_of(account.id()).await?;
        let sets = ticket.rights.password && (ours || links.is_empty());
        if !sets && !ticket.rights.second_factor {
            return Ok(None);
        }
        let keeps = self.app_policy(app.name).is_some();
        let here = links.iter().any(|(at, _)| at == app.name);
        let kept_by = links.into_iter().next().map(|(at, _)| Elsewhere::KeptBy(at));
        let kept_by = kept_by.filter(|_| !ours).map(Asks::Elsewhere);
        Ok(match (keeps, sets) {
            (false, true) => Some(Asks::NewPassword),
            (false, false) if ours => Some(Asks::Password),
            (false, false) => kept_by,
            (true, true) if ours => Some(Asks::Elsewhere(Elsewhere::SetsOurs)),
            (true, false) if here => Some(Asks::AppPassword),
            (true, _) => kept_by.or(Some(Asks::Elsewhere(Elsewhere::NotLinked))),
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
        self.may_record().await?;
        let now = self.now();
        let used = self.deps.tickets.redeem_password(token.hashed(), &record, now).await?;
        let Some(id) = used else { return Ok(Err(Redeemed::Worthless)) };
        let context = Context::person(caller, &account.identity);
        self.record_done(Event::TicketUsed { asked: Asked::Password }, &context).await;
        self.record_done(Event::PasswordChanged { by: "ticket" }, &context).await;
        self.forget_others(id, None).await;
        let proof = PasswordProof::set_by_ticket(id);
        Ok(Ok(self.begin(app, &proof, "/".to_owned(), now)))
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
        let asked_at = self.now();
        let context = Context::person(caller, &account.identity);
        let digest = self.deps.keys.name_digest(name.as_str());
        let tried = match self.may_try_with_ticket(token.hashed()).await? {
            MayTry::Yes(tried) => tried,
            MayTry::Wait { wait, keys } => {
                let event = throttled(Guess::Password, wait, Some(digest));
                self.record_throttled(&keys, event, wait, &context).await?;
                return Ok(Err(Redeemed::Wait { name: Some(name), wait }));
            }
        };
        let checked = if self.app_policy(app.name).is_some() {
            self.ask_app_again(app.name, account.id(), typed, caller).await
        } else {
            let checked = self.check_password(Some(&name), &typed.password, Asker::Known).await;
            checked.map(|(_, proof)| proof.into())
        };
        if !matches!(checked, Ok(Checked::Wrong)) {
            self.deps.attempts.forgive(&tried.keys).await?;
        }
        let proof = match checked? {
            Checked::Right(proof) => proof,
            Checked::CodeWanted => return Ok(Err(Redeemed::AppCodeWanted { name })),
            Checked::Wrong => {
                self.record_wrong_password(caller, Some(&account.identity), digest).await?;
                return Ok(Err(Redeemed::Wrong { name }));
            }
        };
        self.record_right_password(caller, &account.identity).await?;
        Ok(Ok(self.begin(app, &proof, "/".to_owned(), asked_at)))
    }

    /// Forgets what is signed in as the account beside what has just begun. The durable record
    /// refuses all that already, so a session store that does not answer is not the person's trouble.
    pub(super) async fn forget_others(&self, account: AccountId, begun: Option<&SecondFactor>) {
        let sessions = &self.deps.sessions;
        let forgotten = match begun {
            Some(SecondFactor::SignedIn(done)) => {
                sessions.end_others(account, done.token.hashed()).await
            }
            Some(_) => return,
            None => sessions.end_account(account).await,
        };
        if let Err(error) = forgotten {
            tracing::warn!(%error, account = %account, "ended sessions could not be forgotten");
        }
    }
}
