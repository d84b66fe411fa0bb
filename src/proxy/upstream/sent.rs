//! A request under way to an address of an app: the result is recorded at the address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::balance::Selected;
use super::target::{Fault, Target};
use crate::proxy::settings::HealthSettings;

/// A request under way to an address. Dropped when the request ends or goes elsewhere.
#[derive(Debug)]
pub(in crate::proxy) struct Sent {
    target: Arc<Target>,
    /// Number of responses of the address when the request began.
    answers_before: u32,
    was_out: bool,
    trial: bool,
    settled: bool,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.target.over();
        if self.trial && !self.settled {
            self.target.return_trial();
        }
    }
}

/// Returns true if the status says that the address cannot serve requests at present.
pub(super) fn is_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

impl Sent {
    pub(super) fn new(selected: Selected) -> Self {
        let Selected { target, was_out, trial } = selected;
        target.begun();
        Self { answers_before: target.answers(), target, was_out, trial, settled: false }
    }

    /// Returns the address.
    pub(super) fn socket(&self) -> SocketAddr {
        self.target.socket
    }

    /// Records a response that shows an address in service.
    pub(super) fn answered(&mut self) {
        self.target.answered();
        if self.was_out {
            self.worked();
        }
    }

    /// Records a response that shows an address that cannot serve requests.
    pub(super) fn answered_badly(&mut self, now: Duration, health: &HealthSettings) {
        self.target.answered();
        self.fails(Fault::Status, now, health);
    }

    /// Records the end of a request without a failure of the app.
    pub(super) fn worked(&mut self) {
        if !self.settled {
            self.settled = true;
            self.target.request_worked(self.was_out);
        }
    }

    /// Records a failure.
    pub(in crate::proxy) fn fails(&mut self, fault: Fault, now: Duration, health: &HealthSettings) {
        if !self.settled {
            self.settled = true;
            self.target.request_failed(fault, now, self.trial, health);
        }
    }

    /// Records that no response came in time. If the address answered other requests meanwhile, this
    /// one was slow, and the address is not to blame.
    pub(super) fn was_silent(&mut self, now: Duration, health: &HealthSettings) {
        if self.target.answers() == self.answers_before {
            self.fails(Fault::Silent, now, health);
        }
    }
}
