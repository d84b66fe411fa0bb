//! Requests for our own pages.

use std::sync::Arc;

use http::{Method, StatusCode};
use pingora_error::Result;
use pingora_proxy::Session;

use super::bridge::{self, Served};
use crate::proxy::admit::openings::Openings;
use crate::proxy::admit::portal::BelowPortal;
use crate::proxy::admit::site::Site;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{RequestState, no_admission};
use crate::proxy::rewrite::slim;
use crate::web::portal::Role;
use crate::web::{self, RequestContext, Resend};

impl Gateway {
    /// Answers a request with our own pages. A sign-out there also signs out at the app. Returns the
    /// order to send a kept request instead of an answer.
    pub(in crate::proxy) async fn answer_own(
        &self,
        session: &mut Session,
        state: &RequestState,
    ) -> Result<Option<Resend>> {
        let site = state.site().ok_or_else(no_admission)?;
        let context = RequestContext {
            app: Arc::clone(&site.app.pages),
            origin: site.page_text.clone(),
            links: site.links.clone(),
            client: site.origin.client,
            request_id: state.id,
            openings: site.app.policy.has_password_only_rule().then(|| self.openings(site)),
            role: self.role(site),
        };
        let request = session.req_header();
        let ends = request.method == Method::POST && request.uri.path() == "/_auth/logout";
        let tokens =
            if ends { self.app_tokens_of_session(site, request).await } else { Vec::new() };
        if request.method == Method::POST && request.uri.path() == "/_auth/resend" {
            // The kept body takes the place of the form that Pingora then sends from this buffer.
            session.as_downstream_mut().enable_retry_buffering();
        } else {
            slim::down(session);
        }
        let (status, summary) = match bridge::serve(session, &self.pages, context).await? {
            Served::Answered(status, summary) => (status, summary),
            Served::Order(order) => return Ok(Some(order)),
        };
        let request = session.req_header();
        if let Some(summary) = summary {
            self.note_refusal(request, state, &summary);
        }
        if status == StatusCode::SEE_OTHER {
            for token in tokens {
                self.calls.sign_out(site.app.name(), token);
            }
        }
        Ok(None)
    }

    /// Returns the part of a host in signing users in.
    fn role(&self, site: &Arc<Site>) -> Role {
        if site.app.is_portal() {
            let (apps, site) = (self.apps.load_full(), Arc::clone(site));
            let clock = Arc::clone(&self.clock);
            return Role::Portal(Arc::new(BelowPortal { apps, site, clock }));
        }
        site.detour.clone().map_or(Role::Alone, Role::BelowPortal)
    }

    fn openings(&self, site: &Arc<Site>) -> Arc<dyn web::Openings> {
        let (site, logins) = (Arc::clone(site), Arc::clone(&self.logins));
        Arc::new(Openings { site, logins, clock: Arc::clone(&self.clock) })
    }
}
