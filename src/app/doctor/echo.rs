//! Forged headers: a page of an app that shows the headers of its request must not show them.

use http::Uri;

use super::Examination;
use super::ask::{Client, get};
use super::hosts::first;
use crate::app::findings::Findings;
use crate::base::secret::Secret;
use crate::config::settings::Settings;
use crate::proxy::settings::AppSettings;

/// Names under which apps and proxies take the user or the client, besides those of the app.
const FORGED: [&str; 12] = [
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
    "vestibule-assertion",
    "x-forwarded-user",
    "x-auth-request-user",
    "x-remote-user",
    "x-webauth-user",
    "x-authenticated-user",
    "x-real-ip",
    "x-forwarded-for",
];
/// Name of the header that must arrive.
const CONTROL: &str = "x-doctor-control";

/// Asks for the page with forged headers, and reads which of them it shows.
pub(super) async fn examine(
    settings: &Settings,
    options: &Examination,
    url: &str,
    client: &Client,
    marker: &str,
) -> Findings {
    let mut found = Findings::default();
    let parsed = url.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
    let Some((host, uri)) = parsed.as_ref().and_then(|uri| Some((uri.host()?, uri))) else {
        found.problem(format!("{url} is not an https URL"));
        return found;
    };
    let Some(app) = settings.proxy.app_of(&host.to_ascii_lowercase()) else {
        found.problem(format!("{host} is not a host of an app"));
        return found;
    };
    let port = uri.port_u16().unwrap_or(443);
    let address = match first(options.at, host, port).await {
        Ok(address) => address,
        Err(why) => {
            found.problem(why);
            return found;
        }
    };
    let forged = forgeries(app, marker);
    let control = format!("control-{marker}");
    let mut headers: Vec<(&str, &str)> =
        forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push((CONTROL, &control));
    if let Some(token) = &options.token {
        headers.push(("vestibule-token", Secret::reveal(token)));
    }
    let authority = uri.authority().map_or(host, http::uri::Authority::as_str);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let answer = match client.https(address, host, get(authority, path, &headers)).await {
        Ok(answer) => answer,
        Err(why) => {
            found.problem(format!("{url}: {}", why.why()));
            return found;
        }
    };
    if !answer.status.is_success() {
        let status = answer.status.as_u16();
        found.problem(format!("{url} was answered with {status}: pass --token-file FILE"));
        return found;
    }
    if !answer.body.contains(&control) {
        found.problem(format!("{url} does not show the headers of its request"));
        return found;
    }
    for (name, value) in &forged {
        if answer.body.contains(value.as_str()) {
            found.problem(format!("a forged {name} header from a client reaches the app"));
        }
    }
    found
}

/// Returns each name with a value of its own, so that a page shows which of them arrived.
fn forgeries<'a>(app: &'a AppSettings, marker: &str) -> Vec<(&'a str, String)> {
    let own = app.identity_headers.used().map(http::HeaderName::as_str);
    let strip = app.strip_headers.iter().map(http::HeaderName::as_str);
    let mut names: Vec<&str> = own.chain(strip).chain(FORGED).collect();
    names.sort_unstable();
    names.dedup();
    let value = |number| format!("forged-{marker}-{number}.");
    names.into_iter().enumerate().map(|(number, name)| (name, value(number))).collect()
}
