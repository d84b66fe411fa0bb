//! Requests for our own pages.

use std::sync::Arc;

use http::{Method, StatusCode};
use pingora_error::Result;
use pingora_proxy::Session;

use super::bridge;
use crate::proxy::admit::openings::Openings;
use crate::proxy::admit::site::Site;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::rewrite::forward::no_admission;
use crate::proxy::rewrite::slim;
use crate::web::{self, RequestContext};

impl Gateway {
    /// Answers a request with our own pages. A sign-out there also signs out at the app.
    pub(in crate::proxy) async fn answer_own(
        &self,
        session: &mut Session,
        state: &RequestState,
    ) -> Result<()> {
        let site = state.site.as_ref().ok_or_else(no_admission)?;
        let context = RequestContext {
            app: Arc::clone(&site.app.pages),
            origin: site.page_text.clone(),
            links: site.links.clone(),
            client: site.origin.client,
            request_id: state.id,
            openings: site.app.policy.has_password_only_rule().then(|| self.openings(site)),
        };
        let request = session.req_header();
        let ends = request.method == Method::POST && request.uri.path() == "/_auth/logout";
        let tokens =
            if ends { self.app_tokens_of_session(site, request).await } else { Vec::new() };
        slim::down(session);
        let (status, summary) = bridge::serve(session, &self.pages, context).await?;
        let request = session.req_header();
        if let Some(summary) = summary {
            self.note_refusal(request, state, &summary);
        }
        if status == StatusCode::SEE_OTHER {
            for token in tokens {
                self.calls.sign_out(site.app.name(), token);
            }
        }
        Ok(())
    }

    fn openings(&self, site: &Arc<Site>) -> Arc<dyn web::Openings> {
        let (site, logins) = (Arc::clone(site), Arc::clone(&self.logins));
        Arc::new(Openings { site, logins, clock: Arc::clone(&self.clock) })
    }
}
