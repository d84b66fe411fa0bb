//! The rules after a change, for requests under way.

use std::time::Duration;

use super::request::Admitted;
use crate::base::clock::{Clock, Timestamp};
use crate::gate::admission::{Visitor, admit};
use crate::gate::evaluate::{Facts, Route, Verdict};
use crate::gate::policy::NoTrace;
use crate::proxy::app::Apps;

/// The time at which a request began. A second factor that was recent enough then still is.
struct Began(Timestamp, Duration);

impl Clock for Began {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        self.1
    }
}

/// Returns true if the rules of `apps` let in a request under way, with its visitor as of now.
pub(super) fn let_in(
    apps: &Apps,
    request: &Admitted,
    visitor: &Visitor,
    began_at: Timestamp,
) -> bool {
    let site = &request.site;
    let Some(app) = apps.by_host(site.name()) else { return false };
    if app.name() != site.app.name() || (request.websocket && !app.websocket) {
        return false;
    }
    let Ok(target) = app.policy.target(request.raw()) else { return false };
    let facts = Facts::of(site.asked(&request.method, target.path()));
    let clock = Began(began_at, request.since);
    let verdict = app.rules().evaluate(&target, &facts, visitor.who(), &clock, &mut NoTrace);
    match verdict {
        Route::App(Verdict::Forward(_, grant)) => admit(grant, visitor.clone()).is_ok(),
        Route::App(Verdict::Deny(..)) | Route::Own | Route::AppSignIn(_) | Route::Deny(_) => false,
    }
}
