//! The slot of a request in progress.

use std::sync::Arc;

use super::load::{ClientClass, ClientLoad};
use crate::proxy::admit::site::Site;

/// The slot of a request, released on drop.
pub(in crate::proxy) enum RequestSlot {
    /// A slot at the app.
    Forwarded(Arc<Site>, ClientClass),
    /// A slot among the requests that the gateway answers.
    Here(Arc<ClientLoad>, ClientClass),
    /// No slot: the request is being shed.
    TurnedAway(Arc<ClientLoad>),
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        match self {
            Self::Forwarded(site, class) => site.load.leave_app(&site.app.places, *class),
            Self::Here(load, class) => load.leave_here(*class),
            Self::TurnedAway(load) => load.turned_away_gone(),
        }
    }
}
