//! The list of related origins, where browsers ask for it: at the host of the RP ID, on port 443.

use std::net::SocketAddr;

use http::{StatusCode, header};
use serde_json::Value;

use super::ask::{Answer, Client, get};
use super::hosts::first;
use crate::app::findings::Findings;
use crate::config::settings::Settings;

const PATH: &str = "/.well-known/webauthn";

/// Asks for the list as a browser does. Returns `None` if the configuration has no related origins.
pub(super) async fn examine(
    settings: &Settings,
    at: Option<SocketAddr>,
    client: &Client,
) -> Option<Findings> {
    let (keys, proxy) = (&settings.webauthn, &settings.proxy);
    let rp_id = keys.rp_id.as_deref().filter(|id| keys.related_origins_file(id).is_some())?;
    let at_portal = proxy.portal.as_ref().is_some_and(|portal| portal.host == rp_id);
    let here = at_portal || proxy.apps.iter().any(|app| app.related_origins_at.is_some());
    // A host of another server has its address in DNS.
    let at = at.filter(|_| here);
    let mut found = Findings::default();
    let url = format!("https://{rp_id}{PATH}");
    match first(at, rp_id, 443).await {
        Ok(address) => match client.https(address, rp_id, get(rp_id, PATH, &[])).await {
            Ok(answer) => compare(&url, &answer, &keys.related_origins, &mut found),
            Err(why) => found.problem(format!("{url} at {address}: {}", why.why())),
        },
        Err(why) => found.problem(format!("{url}: {why}")),
    }
    Some(found)
}

fn compare(url: &str, answer: &Answer, origins: &[String], found: &mut Findings) {
    if answer.status.is_redirection() {
        let to = answer.header(&header::LOCATION).unwrap_or("nowhere");
        found.note(format!("{url} redirects to {to}, which was not tried. Browsers follow it"));
        return;
    }
    if answer.status != StatusCode::OK {
        let status = answer.status.as_u16();
        found.problem(format!(
            "{url} was answered with {status}: browsers accept no key at a related origin"
        ));
        return;
    }
    let kind = answer.header(&header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        found.problem(format!(
            "{url} has the Content-Type {kind:?}: browsers want application/json"
        ));
        return;
    }
    let list: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let listed = |origin: &&String| {
        list.get("origins")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| one.as_str() == Some(origin.as_str())))
    };
    let missing: Vec<&str> =
        origins.iter().filter(|origin| !listed(origin)).map(String::as_str).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        found.problem(format!("{url} does not list {missing}: browsers accept no key there"));
    }
}
