//! The nodes, by their admin listeners.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::around::host_and_port;
use super::ask::{Client, get};
use super::clocks::Clocks;
use super::hosts::first;
use crate::app::findings::Findings;
use crate::app::online::Tried;
use crate::config::settings::Settings;

/// The answer of `/readyz?verbose`.
#[derive(Deserialize)]
struct Readiness {
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    ok: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// Asks each node how it is.
pub(super) async fn examine(
    settings: &Settings,
    nodes: &[String],
    client: &Client,
    clocks: &mut Clocks,
    all: &mut Vec<Tried>,
) {
    let own = settings.admin.filter(|address| address.port() != 0).map(reachable);
    let own: Vec<String> = own.iter().map(ToString::to_string).collect();
    let nodes = if nodes.is_empty() { &own } else { nodes };
    if nodes.is_empty() {
        let mut found = Findings::default();
        found.note("there is no admin.address, so no node was asked: pass --node HOST:PORT");
        all.push(Tried::of("nodes", found));
    }
    for node in nodes {
        let found = one(node, client, clocks).await;
        all.push(Tried::of(format!("node {node}"), found));
    }
}

/// Replaces the address of all interfaces by that of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip =
        if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

async fn one(node: &str, client: &Client, clocks: &mut Clocks) -> Findings {
    let mut found = Findings::default();
    let Some((host, port)) = host_and_port(node) else {
        found.problem(format!("{node} is not written as host:port"));
        return found;
    };
    let address = match first(None, host, port).await {
        Ok(address) => address,
        Err(why) => {
            found.problem(why);
            return found;
        }
    };
    let answer = match client.http(address, get(node, "/readyz?verbose", &[])).await {
        Ok(answer) => answer,
        Err(why) => {
            found.problem(format!("node {node} does not answer: {}", why.why()));
            return found;
        }
    };
    clocks.compare(&format!("node {node}"), &answer);
    let Ok(readiness) = serde_json::from_str::<Readiness>(&answer.body) else {
        found.problem(format!("{node} is not an admin listener of Vestibule"));
        return found;
    };
    for check in readiness.checks.iter().filter(|check| !check.ok) {
        let reason = check.reason.as_deref().unwrap_or("no reason given");
        found.problem(format!("node {node}: {}: {reason}", check.name));
    }
    found
}
