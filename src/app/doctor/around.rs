//! The way around the gate: an address of an app that must not answer.

use super::ask::{Client, NoAnswer, get};
use super::hosts::resolve;
use crate::app::findings::Findings;
use crate::config::settings::Settings;
use crate::proxy::settings::HostPattern;

/// Tries to reach an app at `address` directly.
pub(super) async fn examine(settings: &Settings, address: &str, client: &Client) -> Findings {
    let mut found = Findings::default();
    let Some((host, port)) = host_and_port(address) else {
        found.problem(format!("{address} is not written as host:port"));
        return found;
    };
    let addresses = match resolve(host, port).await {
        Ok(addresses) => addresses,
        Err(why) => {
            found.problem(why);
            return found;
        }
    };
    let mut names = settings.proxy.apps.iter().flat_map(|app| &app.hosts);
    let name = names.find_map(exact).unwrap_or(host);
    for at in addresses {
        match client.http(at, get(name, "/", &[])).await {
            Err(NoAnswer::Closed(_)) => {}
            Ok(answer) if answer.is_denial() && answer.body.contains("/_auth/login") => {
                found.note(format!("{address} ({at}) is a gateway"));
            }
            Ok(answer) => found.problem(format!(
                "{address} ({at}) answers this machine with {}, around the gate: let only the \
                 gateways connect to it",
                answer.status.as_u16()
            )),
            Err(NoAnswer::Failed(_)) => found.problem(format!(
                "{address} ({at}) accepts connections of this machine: let only the gateways \
                 connect to it"
            )),
        }
    }
    found
}

fn exact(pattern: &HostPattern) -> Option<&str> {
    match pattern {
        HostPattern::Exact(name) => Some(name),
        HostPattern::Wildcard(_) => None,
    }
}

/// Splits `host:port`; an IPv6 address is in brackets.
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(host_and_port("a.test:80"), Some(("a.test", 80)));
        assert_eq!(host_and_port("[::1]:80"), Some(("::1", 80)));
        for bad in ["a.test", ":80", "a.test:x", ""] {
            assert_eq!(host_and_port(bad), None);
        }
    }
}
