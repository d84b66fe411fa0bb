//! The place of a request among those in hand.

use std::sync::Arc;

use super::load::{ClientLoad, Whose};
use crate::proxy::admit::site::Site;

/// The place of one request.
pub(in crate::proxy) enum InHand {
    /// At the app.
    Forwarded(Arc<Site>, Whose),
    /// Among those that are answered here.
    Here(Arc<ClientLoad>, Whose),
    /// None; it is being told so.
    TurnedAway(Arc<ClientLoad>),
}

impl Drop for InHand {
    fn drop(&mut self) {
        match self {
            Self::Forwarded(site, whose) => site.load.leave_app(&site.app.places, *whose),
            Self::Here(load, whose) => load.leave_here(*whose),
            Self::TurnedAway(load) => load.turned_away_gone(),
        }
    }
}
