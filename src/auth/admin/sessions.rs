//! Sessions as operators list and end them.

use std::fmt;
use std::sync::Arc;

use super::error::AdminError;
use super::journal::OperatorJournal;
use crate::auth::account::LoginName;
use crate::auth::audit::{Ended, Event};
use crate::auth::ports::{AccountManagement, SessionManagement, SessionOverview, Tickets};
use crate::auth::session::Session;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::SessionId;

/// Lists and ends sessions.
pub struct SessionAdmin {
    pub(super) journal: Arc<OperatorJournal>,
    pub(super) accounts: Arc<dyn AccountManagement>,
    pub(super) overview: Arc<dyn SessionOverview>,
    pub(super) sessions: Arc<dyn SessionManagement>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for SessionAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionAdmin(…)")
    }
}

impl SessionAdmin {
    /// Returns the sessions of one account or of all, newest first.
    pub async fn list(&self, name: Option<&LoginName>) -> Result<Vec<Session>, AdminError> {
        let account = match name {
            Some(name) => Some(self.journal.find(name).await?.id()),
            None => None,
        };
        Ok(self.overview.list(account, self.clock.now()).await?)
    }

    /// Ends the session with this id.
    pub async fn end(&self, id: SessionId) -> Result<(), AdminError> {
        // The list serves the audit row only. The session ends whether or not it can be read.
        let all = self.overview.list(None, self.clock.now()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to list sessions: the audit row names no user");
            Vec::new()
        });
        if !self.overview.end_by_id(id, None).await? {
            return Err(AdminError::NoSuchSession(id));
        }
        let whose = all.iter().find(|s| s.id == id).map(|s| &s.identity);
        let event = Event::SessionEnded { session: id, why: Ended::ByOperator };
        self.journal.record(event, whose).await
    }

    /// Ends the sessions and pending logins of one account and makes its known browsers unknown.
    /// Returns the number of sessions ended.
    pub async fn end_of(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.journal.find(name).await?.identity;
        // Neither waits for the success of the other or of the audit row: an attacker may be signed
        // in.
        let strangers = self.accounts.forget_devices(who.account, self.clock.now()).await;
        let ended = self.sessions.end_account(who.account).await;
        let mut rows = match strangers {
            Ok(_) => self.journal.record(Event::DevicesRevoked, Some(&who)).await,
            Err(_) => Ok(()),
        };
        if let Ok(sessions) = ended {
            let event = Event::SessionsEnded { sessions, why: Ended::ByOperator };
            rows = rows.and(self.journal.record(event, Some(&who)).await);
        }
        match (ended, strangers) {
            (Ok(sessions), Ok(_)) => rows.map(|()| sessions),
            (Ok(_), Err(source)) => Err(AdminError::Partly {
                done: "the sessions were ended",
                left: "the account's known browsers could not be reset",
                source,
            }),
            (Err(source), Ok(_)) => Err(AdminError::Partly {
                done: "the account's known browsers were reset",
                left: "its sessions could not be ended",
                source,
            }),
            (Err(source), Err(_)) => Err(AdminError::Store(source)),
        }
    }

    /// Ends the sessions and pending logins of one account as [`Self::end_of`] does, and removes its
    /// one-time link and its rights to set a forgotten password anew. Returns the numbers of sessions
    /// and of links.
    pub async fn end_of_and_links(&self, name: &LoginName) -> Result<(u64, u64), AdminError> {
        let who = self.journal.find(name).await?.identity;
        // Neither waits for the success of the other or of the audit row, as in `end_of`.
        let removed = self.tickets.remove_links(Some(who.account)).await;
        let row = match removed {
            Ok(links) => self.journal.record(Event::TicketsRemoved { links }, Some(&who)).await,
            Err(_) => Ok(()),
        };
        match (self.end_of(name).await, removed) {
            (Ok(sessions), Ok(links)) => row.map(|()| (sessions, links)),
            (Ok(_), Err(source)) => Err(AdminError::Partly {
                done: "the sessions were ended and the known browsers were reset",
                left: "the one-time link could not be removed",
                source,
            }),
            (Err(error), Err(source)) => {
                tracing::error!(%error, "failed to end the sessions, or to record their end");
                Err(AdminError::Partly {
                    done: "the sessions were ended in part",
                    left: "the one-time link could not be removed",
                    source,
                })
            }
            (Err(error), Ok(_)) => Err(error),
        }
    }

    /// Returns the time until which a one-time link of the account works, if there is one.
    pub async fn link_until(&self, name: &LoginName) -> Result<Option<Timestamp>, AdminError> {
        let account = self.journal.find(name).await?.id();
        let ticket = self.tickets.of_account(account, self.clock.now()).await?;
        Ok(ticket.map(|ticket| ticket.expires_at))
    }

    /// Ends all sessions and pending logins. Returns the number of sessions ended.
    pub async fn end_all(&self) -> Result<u64, AdminError> {
        let sessions = self.sessions.end_all().await?;
        self.journal
            .record(Event::SessionsEnded { sessions, why: Ended::ByOperator }, None)
            .await?;
        Ok(sessions)
    }

    /// Removes all one-time links and rights to set a forgotten password anew, and ends all sessions
    /// and pending logins, such as those that a link began. A copy of an older account database may
    /// hold links that were used or replaced. Returns the numbers of sessions and of links.
    pub async fn end_all_and_links(&self) -> Result<(u64, u64), AdminError> {
        // Neither waits for the success of the other or of the audit row, as in `end_of`.
        let removed = self.tickets.remove_links(None).await;
        let ended = self.sessions.end_all().await;
        let mut rows = match removed {
            Ok(links) => self.journal.record(Event::TicketsRemoved { links }, None).await,
            Err(_) => Ok(()),
        };
        if let Ok(sessions) = ended {
            let event = Event::SessionsEnded { sessions, why: Ended::ByOperator };
            rows = rows.and(self.journal.record(event, None).await);
        }
        match (ended, removed) {
            (Ok(sessions), Ok(links)) => rows.map(|()| (sessions, links)),
            (Ok(_), Err(source)) => Err(AdminError::Partly {
                done: "the sessions were ended",
                left: "the one-time links could not be removed",
                source,
            }),
            (Err(source), Ok(_)) => Err(AdminError::Partly {
                done: "the one-time links were removed",
                left: "the sessions could not be ended",
                source,
            }),
            (Err(source), Err(_)) => Err(AdminError::Store(source)),
        }
    }
}
