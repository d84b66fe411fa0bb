//! Pages that a verified password alone opens.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;

use super::site::Site;
use crate::auth::token::{PendingToken, PlainToken};
use crate::base::clock::Clock;
use crate::gate::evaluate::{Facts, Route, Verdict};
use crate::gate::logins::CachedLogins;
use crate::gate::policy::{NoTrace, VisitorFacts};
use crate::web;

/// The rules of one site, for our own pages.
pub(in crate::proxy) struct Openings {
    pub(in crate::proxy) site: Arc<Site>,
    pub(in crate::proxy) logins: Arc<CachedLogins>,
    pub(in crate::proxy) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Openings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Openings")
    }
}

#[async_trait]
impl web::Openings for Openings {
    async fn opens(&self, login: &PlainToken<PendingToken>, target: &str) -> bool {
        let app = &self.site.app;
        let found = self.logins.find(app.name(), login, self.clock.monotonic()).await;
        let Ok(Some(known)) = found else { return false };
        let Ok(target) = app.policy.target(target.as_bytes()) else { return false };
        let facts = Facts::of(self.site.asked(&Method::GET, target.path()));
        let who = VisitorFacts::Password(&known.identity);
        let route = app.rules().evaluate(&target, &facts, who, &*self.clock, &mut NoTrace);
        matches!(route, Route::App(Verdict::Forward(..)))
    }
}
