//! Checks of each host: name, certificate, and the promise that no request passes without a session.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, StatusCode, header};

use super::Examination;
use super::ask::{Answer, Client, NoAnswer, get};
use super::clocks::Clocks;
use crate::app::findings::Findings;
use crate::app::online::Tried;
use crate::base::address::ClientIp;
use crate::base::clock::{Clock as _, SystemClock};
use crate::config::settings::Settings;
use crate::gate::evaluate::{Facts, Route, Verdict};
use crate::gate::policy::{NoTrace, VisitorFacts};
use crate::gate::rule::RequestFacts;
use crate::proxy::settings::{AppSettings, HostPattern, PortalSettings};

/// Time before the end of a certificate from which the doctor reports it.
const SOON: Duration = Duration::from_hours(14 * 24);
/// Maximum number of addresses of one host that are tried.
const ADDRESSES: usize = 8;

/// A host of an app, and the way to it.
struct Host<'a> {
    app: &'a AppSettings,
    name: &'a str,
    port: u16,
    client: &'a Client,
    marker: &'a str,
}

/// Examines the exact hosts of all apps, and the portal.
pub(super) async fn examine(
    settings: &Settings,
    options: &Examination,
    client: &Client,
    marker: &str,
    clocks: &mut Clocks,
) -> Vec<Tried> {
    let port = port_of(&settings.public_url);
    let mut all = Vec::new();
    let portal = settings.proxy.portal.as_ref().map(PortalSettings::as_app);
    for app in settings.proxy.apps.iter().chain(&portal) {
        for pattern in &app.hosts {
            let name = match pattern {
                HostPattern::Exact(name) => name,
                HostPattern::Wildcard(suffix) => {
                    let mut found = Findings::default();
                    found.note(format!("*{suffix} stands for many names, and none was tried"));
                    all.push(Tried::of(format!("host *{suffix}"), found));
                    continue;
                }
            };
            let host = Host { app, name, port, client, marker };
            let found = host.examine(options, clocks).await;
            all.push(Tried::of(format!("host {name}"), found));
        }
    }
    all
}

/// Returns the port of a URL whose default is 443.
fn port_of(url: &str) -> u16 {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.unwrap_or(443)
}

/// Resolves a host. Returns a sentence if it has no address.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => {
            let found: Vec<_> = found.take(ADDRESSES).collect();
            if found.is_empty() { Err(format!("{host} has no address in DNS")) } else { Ok(found) }
        }
        Err(error) => Err(format!("{host} has no address in DNS: {error}")),
    }
}

/// Returns `at`, or else the first address of a host.
pub(super) async fn first(
    at: Option<SocketAddr>,
    host: &str,
    port: u16,
) -> Result<SocketAddr, String> {
    if let Some(address) = at {
        return Ok(address);
    }
    let found = resolve(host, port).await?;
    found.first().copied().ok_or_else(|| format!("{host} has no address in DNS"))
}

impl Host<'_> {
    /// Returns the host as browsers send it.
    fn authority(&self) -> String {
        if matches!(self.port, 0 | 443) {
            self.name.to_owned()
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    async fn ask(
        &self,
        at: SocketAddr,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<Answer, NoAnswer> {
        self.client.https(at, self.name, get(&self.authority(), path, more)).await
    }

    async fn examine(&self, options: &Examination, clocks: &mut Clocks) -> Findings {
        let mut found = Findings::default();
        let addresses = match options.at {
            Some(address) => vec![address],
            None => match resolve(self.name, self.port).await {
                Ok(addresses) => addresses,
                Err(why) => {
                    found.problem(why);
                    return found;
                }
            },
        };
        let mut working = None;
        for address in addresses {
            match self.ask(address, "/_auth/session", &[]).await {
                Ok(answer) => {
                    clocks.compare(&format!("{} at {address}", self.name), &answer);
                    if self.is_gateway(address, &answer, &mut found) {
                        working.get_or_insert(address);
                    }
                }
                Err(why) => {
                    found.problem(format!(
                        "https://{} at {address}: {}",
                        self.authority(),
                        why.why()
                    ));
                }
            }
        }
        if let Some(address) = working {
            self.keep_the_promise(address, &mut found).await;
        }
        self.redirect(options, &mut found).await;
        found
    }

    /// Checks that a gateway answers, with HSTS and a certificate that lasts.
    fn is_gateway(&self, address: SocketAddr, answer: &Answer, found: &mut Findings) -> bool {
        let url = format!("https://{}", self.authority());
        if let Some(end) = answer.certificate_ends {
            let left = end.since(SystemClock::new().now());
            if left < SOON {
                let days = left.as_secs() / 86_400;
                found.note(format!(
                    "the certificate of {url} at {address} expires in {days} days, at {}",
                    end.rfc3339()
                ));
            }
        }
        if answer.status != StatusCode::UNAUTHORIZED || !answer.body.contains("/_auth/login") {
            found.problem(format!(
                "{url}/_auth/session at {address} was answered with {} by something else than \
                 Vestibule",
                answer.status.as_u16()
            ));
            return false;
        }
        let seconds = answer.header(&header::STRICT_TRANSPORT_SECURITY).and_then(max_age);
        if seconds.unwrap_or_default() == 0 {
            found.problem(format!(
                "{url} at {address} sends no Strict-Transport-Security: a proxy in front removes \
                 it, or does not say that clients use https"
            ));
        }
        true
    }

    /// Asks for pages that the rules close, in ways that must not open them.
    async fn keep_the_promise(&self, address: SocketAddr, found: &mut Findings) {
        let random = format!("/vestibule-doctor-{}", self.marker);
        let session = format!("__Host-vestibule={0}{0}{0}", self.marker);
        let user = self.app.identity_headers.user.as_ref();
        let user = user.map_or("remote-user", http::HeaderName::as_str);
        let page = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
        let ways: [(&str, &[(&str, &str)]); 5] = [
            ("without a session", &[]),
            ("without a session, as a browser,", &page),
            ("with a made-up session", &[("cookie", &session)]),
            ("with a forged user header", &[(user, "admin"), ("x-forwarded-user", "admin")]),
            (
                "as if from this machine",
                &[("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1")],
            ),
        ];
        for path in ["/", &random] {
            if self.is_public(path) {
                found.note(format!("the rules make {path} public, so it was not tried"));
                continue;
            }
            for (way, headers) in ways {
                let url = format!("https://{}{path}", self.authority());
                match self.ask(address, path, headers).await {
                    Ok(answer) if answer.is_denial() => {}
                    // Without upstreams there is nothing to reach.
                    Ok(answer)
                        if answer.status == StatusCode::NOT_FOUND
                            && self.app.upstream.addresses.is_empty() => {}
                    Ok(answer) => found.problem(format!(
                        "{url} {way} was answered with {}: it must ask for a sign-in",
                        answer.status.as_u16()
                    )),
                    Err(why) => found.problem(format!("{url} {way}: {}", why.why())),
                }
            }
        }
    }

    /// Returns true if the rules let this path pass for everyone.
    fn is_public(&self, path: &str) -> bool {
        let Ok(target) = self.app.policy.target(path.as_bytes()) else { return false };
        let facts = Facts::of(RequestFacts {
            method: &Method::GET,
            path: target.path(),
            host: self.name,
            client: ClientIp::new(std::net::Ipv4Addr::UNSPECIFIED.into()),
            preflight: false,
        });
        let clock = SystemClock::new();
        let who = VisitorFacts::Anonymous;
        let route = self.app.rules().evaluate(&target, &facts, who, &clock, &mut NoTrace);
        matches!(route, Route::App(Verdict::Forward(..)))
    }

    /// Checks that plain http leads to https.
    async fn redirect(&self, options: &Examination, found: &mut Findings) {
        // Without DNS the address of plain http is unknown.
        if options.at.is_some() && options.at_plain.is_none() {
            return;
        }
        // A name without an address is reported already.
        let Ok(address) = first(options.at_plain, self.name, 80).await else { return };
        let page = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
        match self.client.http(address, get(self.name, "/", &page)).await {
            Ok(answer) => {
                let location = answer.header(&header::LOCATION).unwrap_or_default();
                let https = location.strip_prefix("https://").unwrap_or_default();
                if !answer.status.is_redirection() || !https.starts_with(self.name) {
                    found.problem(format!(
                        "http://{} at {address} was answered with {} and does not lead to https",
                        self.name,
                        answer.status.as_u16()
                    ));
                }
            }
            Err(NoAnswer::Closed(why)) => found.note(format!(
                "http://{} at {address} does not answer ({why}), so it does not lead to https",
                self.name
            )),
            Err(NoAnswer::Failed(why)) => {
                found.problem(format!("http://{} at {address}: {why}", self.name));
            }
        }
    }
}

/// Returns the seconds of `Strict-Transport-Security`.
fn max_age(line: &str) -> Option<u64> {
    line.split(';').find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then_some(value)?.trim_matches('"').parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_public_url() {
        for (url, port) in [("https://a.test", 443), ("https://a.test:8443", 8443)] {
            assert_eq!(port_of(url), port);
        }
    }

    #[test]
    fn the_age_is_read_from_its_directive() {
        assert_eq!(max_age("includeSubDomains; Max-Age=\"60\""), Some(60));
        assert_eq!(max_age("max-age=0"), Some(0));
        assert_eq!(max_age("preload"), None);
    }
}
