//! Resolution of the names of upstreams.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use crate::proxy::settings::UpstreamAddress;

/// Maximum time to resolve a name.
const PATIENCE: Duration = Duration::from_secs(5);

/// The names of an app that do not resolve at present.
#[derive(Debug, Default)]
pub(super) struct Unresolved {
    names: BTreeSet<String>,
}

impl Unresolved {
    /// Returns true if a name does not resolve.
    pub(super) fn any(&self) -> bool {
        !self.names.is_empty()
    }

    /// Logs a name when it stops resolving and when it resolves again.
    fn note(&mut self, app: &str, host: &str, failed: Option<&str>) {
        match failed {
            Some(error) => {
                if self.names.insert(host.to_owned()) {
                    tracing::warn!(
                        app,
                        host,
                        error,
                        "upstream name does not resolve, keeping its former addresses"
                    );
                }
            }
            None => {
                if self.names.remove(host) {
                    tracing::info!(app, host, "upstream name resolves again");
                }
            }
        }
    }
}

/// Resolves the `addresses` of an app, each with its sockets. A name that does not resolve has `None`.
pub(super) async fn resolve(
    app: &str,
    addresses: &[UpstreamAddress],
    unresolved: &mut Unresolved,
) -> Vec<(UpstreamAddress, Option<Vec<SocketAddr>>)> {
    let lookups = addresses.iter().map(|address| async move {
        let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
        match tokio::time::timeout(PATIENCE, lookup).await {
            Ok(Ok(sockets)) => Ok(sockets.collect::<Vec<_>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        }
    });
    let found = join_all(lookups).await;
    unresolved.names.retain(|name| addresses.iter().any(|address| address.host == *name));
    addresses
        .iter()
        .zip(found)
        .map(|(address, found)| {
            let failed = found.as_ref().err().map(String::as_str);
            unresolved.note(app, &address.host, failed);
            (address.clone(), found.ok())
        })
        .collect()
}
