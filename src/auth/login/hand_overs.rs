//! Hand-overs of a sign-in from the portal to an app.

use std::fmt;
use std::sync::Arc;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::{Journal, rows};
use super::parked::Parking;
use super::sessions::OpenSessions;
use crate::auth::audit::{Caller, Context, Ended, Event};
use crate::auth::hand_over::{FlowHash, HandOver, LIFETIME, MOST_BRANCHES, MOST_TICKETS};
use crate::auth::session::{Branch, HandedProofs, Session};
use crate::auth::token::{HandOverToken, PlainToken, SessionToken};

/// The destination of a hand-over.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// Name of the app.
    pub app: &'a str,
    /// Host of the app, in lower case and without a port.
    pub host: &'a str,
    /// Path and query at the app.
    pub return_to: &'a str,
    /// Hash of the flow cookie that the browser has at that host.
    pub flow: &'a FlowHash,
}

/// A ticket as an app receives it.
#[derive(Debug)]
pub struct ShownTicket<'a> {
    /// The ticket.
    pub ticket: &'a str,
    /// Name of the app that received it.
    pub app: &'a str,
    /// Host that received it, in lower case and without a port.
    pub host: &'a str,
    /// Hash of the browser's flow cookie there.
    pub flow: Option<&'a FlowHash>,
    /// Session that the browser has at the app.
    pub former: Option<PlainToken<SessionToken>>,
}

/// The result of showing a ticket to an app.
#[derive(Debug)]
#[must_use]
pub enum HandedOver {
    /// The ticket is good. The session at the app has begun.
    Done {
        /// Token, for the cookie.
        token: PlainToken<SessionToken>,
        /// Path and query at the app.
        return_to: String,
        /// True if the browser holds a request that its user was sending when a session ended.
        resend: bool,
    },
    /// The ticket is good for nothing any more.
    Refused,
}

/// The reason for refusing a ticket, as in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The browser has no flow cookie, or that of another flow.
    OtherBrowser,
    /// The ticket is for another app or host.
    OtherApp,
    /// The session at the portal has ended.
    SessionEnded,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::OtherBrowser => "other_browser",
            Self::OtherApp => "other_app",
            Self::SessionEnded => "session_ended",
        }
    }
}

/// Hand-overs from the portal to apps.
pub struct AppHandOvers {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) sessions: Arc<OpenSessions>,
    pub(super) parking: Arc<Parking>,
}

impl fmt::Debug for AppHandOvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppHandOvers(…)")
    }
}

impl AppHandOvers {
    /// Issues a ticket for a session at the portal. The caller has decided that the app's rules let
    /// its user in. Returns `None` if no app can be below the session.
    pub async fn issue(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        to: Destination<'_>,
    ) -> Result<Option<PlainToken<HandOverToken>>, LoginError> {
        let Some(tree) = session.tree.filter(|_| session.branch.is_none()) else {
            return Ok(None);
        };
        let now = self.deps.now();
        let ticket = PlainToken::<HandOverToken>::generate(&self.deps.keys, self.deps.random())?;
        let hand_over = HandOver {
            root: token.hashed().to_hex(),
            tree,
            proofs: HandedProofs::of(session),
            app: to.app.to_owned(),
            host: to.host.to_owned(),
            return_to: to.return_to.to_owned(),
            flow: to.flow.clone(),
            expires_at: now.plus(LIFETIME),
            session_ends_at: session.expires_at,
        };
        let store = &self.deps.hand_overs;
        store.issue_hand_over(ticket.hashed(), &hand_over, MOST_TICKETS, now).await?;
        Ok(Some(ticket))
    }

    /// Uses up a ticket and, if it was issued for this app and this browser, begins a session at the
    /// app. Whatever is wrong with a ticket, it works no second time.
    pub async fn show(
        &self,
        shown: ShownTicket<'_>,
        caller: &Caller,
    ) -> Result<HandedOver, LoginError> {
        let Some(ticket) = PlainToken::<HandOverToken>::parse(shown.ticket, &self.deps.keys) else {
            return Ok(HandedOver::Refused);
        };
        let now = self.deps.now();
        let Some(known) = self.deps.hand_overs.take_hand_over(ticket.hashed(), now).await? else {
            return Ok(HandedOver::Refused);
        };
        if known.app != shown.app || known.host != shown.host {
            return self.refuse(Refusal::OtherApp, caller).await;
        }
        if shown.flow != Some(&known.flow) {
            return self.refuse(Refusal::OtherBrowser, caller).await;
        }
        let root = known.root().ok_or_else(|| LoginError::Broken("not a session".to_owned()))?;
        let token = PlainToken::<SessionToken>::generate(&self.deps.keys, self.deps.random())?;
        let (tree, proofs) = (known.tree, known.proofs);
        let branch = Branch { root, tree, app: known.app, proofs };
        let left = known.session_ends_at.since(now);
        let store = &self.deps.hand_overs;
        if !store.branch(token.hashed(), &branch, MOST_BRANCHES, now, left).await? {
            return self.refuse(Refusal::SessionEnded, caller).await;
        }
        let begun = self.deps.sessions.load(token.hashed()).await?;
        let Some(begun) = begun else {
            return self.refuse(Refusal::SessionEnded, caller).await;
        };
        self.note(&begun, caller).await?;
        if let Some(former) = shown.former {
            self.replace(&former, &token, &branch, caller).await?;
        }
        let resend = self.parking.begun(token.hashed(), &begun, caller).await;
        Ok(HandedOver::Done { token, return_to: known.return_to, resend })
    }

    /// Ends the session that the browser had at the app, unless it is a branch of the same root. That
    /// one keeps its proofs and ends with the root: what it has under way goes on.
    async fn replace(
        &self,
        former: &PlainToken<SessionToken>,
        token: &PlainToken<SessionToken>,
        branch: &Branch,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let Some(session) = self.deps.sessions.load(former.hashed()).await? else { return Ok(()) };
        if session.branch.is_some_and(|tokens| tokens.root == branch.root) {
            let store = &self.deps.hand_overs;
            return Ok(store.follow_branch(former.hashed(), token.hashed()).await?);
        }
        self.sessions.sign_out(former, caller, Ended::Replaced).await
    }

    /// Records a hand-over.
    async fn note(&self, session: &Session, caller: &Caller) -> Result<(), LoginError> {
        let event = Event::HandedOver { session: session.id, app: session.app.clone() };
        self.journal.record_about(&session.identity, event, caller).await
    }

    /// Records that a ticket was refused. The row names no user: who shows a stolen ticket is unknown.
    async fn refuse(&self, why: Refusal, caller: &Caller) -> Result<HandedOver, LoginError> {
        let event = Event::HandOverRefused { why: why.as_str() };
        let context = Context::unknown(caller);
        self.journal.record_capped(rows(event.name()), event, &context, &context).await?;
        Ok(HandedOver::Refused)
    }
}
