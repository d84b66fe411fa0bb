//! Sends a kept request to the app: through the whole gate, once.

use bytes::Bytes;
use http::StatusCode;
use pingora_error::Result;
use pingora_proxy::Session;

use super::way::Decided;
use crate::auth::parked::ParkedAt;
use crate::proxy::gateway::Gateway;
use crate::proxy::gateway::phase::Phase;
use crate::proxy::request::{Fate, RequestState, no_admission};
use crate::proxy::respond::park::restore;
use crate::proxy::respond::refused::Refused;
use crate::web::Resend;

impl Gateway {
    /// Decides about a kept request as if it had just arrived, and takes it if it is let in. Resolves
    /// to true if the gateway has answered.
    pub(super) fn resend<'f>(
        &'f self,
        session: &'f mut Session,
        state: &'f mut RequestState,
        order: Resend,
    ) -> Phase<'f, Result<bool>> {
        Box::pin(async move {
            restore(session.req_header_mut(), &order.request).ok_or_else(no_admission)?;
            (state.slot, state.resends) = (None, true);
            let decided = self.decide(session, state, false);
            let decided = match decided {
                Ok(Decided::Ask(question)) => self
                    .decide_with_stores(session.req_header(), state, *question)
                    .await
                    .map(|()| Decided::Forward),
                decided => decided,
            };
            if let Err(limit) = self.take_in(session.req_header(), state, &decided) {
                return self.shed(session, state, limit).await;
            }
            if let Err(answer) = decided {
                return self.answer(session, state, answer).await;
            }
            if self.taken(state, order).await {
                return Ok(false);
            }
            (state.fate, state.slot) = (Fate::Undecided, None);
            let sentence = "This was already sent or discarded, or the 10 minutes are over.";
            let gone = Refused::new(StatusCode::CONFLICT, "already_sent", sentence);
            gone.answer(self, session, state).await.map(|()| true)
        })
    }

    /// Takes a kept request that is let in. Returns true to exactly one caller, and only if the
    /// visitor is still the one who was sending it.
    async fn taken(&self, state: &mut RequestState, order: Resend) -> bool {
        let Some(site) = state.site() else { return false };
        let at = ParkedAt { app: site.app.name(), origin: &site.page_text };
        let person = state.admission().and_then(|admission| admission.person());
        if person.is_none_or(|person| person.account != order.account) {
            return false;
        }
        let taken = match self.login.parking.take(&order.token, order.account, at).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(id = %state.id, %error, "failed to take a kept request");
                None
            }
        };
        let Some((taken, forwarding)) = taken.zip(state.forwarding_mut()) else { return false };
        forwarding.resend = Some((Bytes::from(taken.body), Box::new(order)));
        true
    }

    /// Keeps a request again of which the app has received nothing.
    pub(in crate::proxy) async fn put_back(&self, state: &RequestState) {
        let Ok((site, forwarding)) = state.admitted() else { return };
        let Some((_, order)) = &forwarding.resend else { return };
        if forwarding.sending.body_begun {
            return;
        }
        let at = ParkedAt { app: site.app.name(), origin: &site.page_text };
        let Resend { token, account, request } = &**order;
        let put_back = self.login.parking.put_back(token, *account, at, request);
        match put_back.await {
            Ok(true) => tracing::info!(id = %state.id, "app not reached: request kept again"),
            Ok(false) => tracing::warn!(id = %state.id, "too many requests are kept: one is lost"),
            Err(error) => tracing::warn!(id = %state.id, %error, "failed to keep a request again"),
        }
    }
}
