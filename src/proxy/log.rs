//! The log line of a request.

use pingora_error::{Error, ErrorSource};
use pingora_proxy::Session;

use super::app::App;
use super::request::RequestState;
use crate::base::clock::Clock;
use crate::gate::policy::DEFAULT;

/// Logs a request: failures and rejections at `info` and above, the rest at `debug`.
pub(super) fn request(
    session: &Session,
    error: Option<&Error>,
    state: &RequestState,
    clock: &dyn Clock,
) {
    let silent = state.connection.as_ref().is_some_and(|c| c.app_was_silent());
    let failed = silent || error.is_some_and(|e| *e.esource() == ErrorSource::Upstream);
    let app = state.site().map(|site| &*site.app);
    if let Some(app) = app {
        report(app, state);
    }
    if !failed && state.refusal.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let request = session.req_header();
    let status = session.response_written().map_or(0, |r| r.status.as_u16());
    let person = state.admission().and_then(|a| a.person());
    let user = person.map_or("-", |p| p.name.as_str());
    let rule = app.and_then(|app| rule_name(app, state)).unwrap_or("-");
    let app = app.map_or("-", App::name);
    let took = clock.monotonic().saturating_sub(state.started);
    let client = state.origin().map(|o| o.client.to_string()).unwrap_or_default();
    // The query may contain private data, so only the path is logged.
    let path = request.uri.path();
    let method = request.method.as_str();
    let id = state.id;
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if let Some(error) = error.filter(|_| failed) {
        let reference = id.reference();
        let reason = if silent { "silent for too long" } else { error.etype().as_str() };
        tracing::warn!(%id, reference, app, %client, user, method, path, status, millis, reason, "app failed");
    } else if let Some((reason, asked)) = state.refusal.zip(state.asked.as_deref()) {
        let reference = id.reference();
        let (method, host, path) = (asked.method.as_str(), &*asked.host, &*asked.path);
        let why = asked.why.as_deref();
        if asked.is_bad {
            tracing::warn!(%id, reference, app, %client, method, host, path, status, millis, reason, rule, why, "forward-auth: auth request rejected");
        } else {
            tracing::info!(%id, reference, app, %client, method, host, path, status, millis, reason, rule, why, "forward-auth: refused");
        }
    } else if let Some(reason) = state.refusal {
        let reference = id.reference();
        tracing::info!(%id, reference, app, %client, method, path, status, millis, reason, rule, "refused");
    } else {
        tracing::debug!(%id, app, %client, user, method, path, status, millis, rule, "request");
    }
}

/// Returns the rule that decided, or `None` for an app without rules.
pub(super) fn rule_name<'a>(app: &'a App, state: &RequestState) -> Option<&'a str> {
    let rules = app.policy.rules();
    let ruling = state.ruling.filter(|_| !rules.is_empty())?;
    Some(match ruling.rule {
        Some(rule) => rules.get(rule)?.name.as_str(),
        None => DEFAULT,
    })
}

/// Logs the outcomes of report-only rules, at `info` if they differ from the actual outcome.
fn report(app: &App, state: &RequestState) {
    let did = state.ruling.map_or("-", |ruling| ruling.outcome.as_str());
    for (rule, outcome) in &state.reports {
        let Some(rule) = app.policy.rules().get(*rule) else { continue };
        let (id, app, report_only, would) = (state.id, app.name(), &rule.name, outcome.as_str());
        if would == did {
            tracing::debug!(%id, app, report_only, would, did, "report-only rule");
        } else {
            tracing::info!(%id, app, report_only, would, did, "report-only rule");
        }
    }
}
