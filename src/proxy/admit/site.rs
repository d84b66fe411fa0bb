//! State that all requests of one client to one host share: the app and the forwarding headers.
//! Built once and kept with the connection.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};

use super::front::{KnownFront, OtherHosts, RequestedAddress};
use super::vet::{self, Malformed};
use crate::gate::path::RulePath;
use crate::gate::rule::RequestFacts;
use crate::gate::values::side_by_side;
use crate::proxy::app::{App, Apps};
use crate::proxy::client::load::ClientLoad;
use crate::proxy::client::origin::Origin;
use crate::proxy::client::sender::Front;
use crate::web::origin::WebOrigin;
use crate::web::portal::Detour;

/// A host as one client sees it.
#[derive(Debug)]
pub(in crate::proxy) struct Site {
    /// The app at this host.
    pub(in crate::proxy) app: Arc<App>,
    /// The client's address and scheme.
    pub(in crate::proxy) origin: Origin,
    /// The forwarding headers of a trusted proxy.
    front: Option<KnownFront>,
    /// The origin that the browser requested, parsed and as text.
    pub(in crate::proxy) page: WebOrigin,
    pub(in crate::proxy) page_text: String,
    /// The base of links to our own pages, without a trailing slash.
    pub(in crate::proxy) links: String,
    /// Scheme and port of other hosts of the gateway.
    pub(in crate::proxy) others: OtherHosts,
    /// The way to the portal, if the app's users sign in there.
    pub(in crate::proxy) detour: Option<Arc<Detour>>,
    /// The load counters of the client's network.
    pub(in crate::proxy) load: Arc<ClientLoad>,
    /// The host as the client wrote it: ASCII, validated.
    host: String,
    /// The host in lower case, without its port.
    name: String,
    /// The generation of the apps that this site was found in.
    generation: u64,
    pub(in crate::proxy) host_value: HeaderValue,
    pub(in crate::proxy) forwarded_for: HeaderValue,
    pub(in crate::proxy) forwarded: HeaderValue,
}

/// The reason why a host has no site.
pub(in crate::proxy) enum NoSite {
    /// The host is not a valid host name.
    Malformed(Malformed),
    /// No app is served at this host.
    Unknown,
}

impl Site {
    /// Finds the site at `host`, as a client wrote it.
    pub(in crate::proxy) fn find(
        apps: &Apps,
        host: &str,
        origin: Origin,
        front: Option<&Front<'_>>,
        load: Arc<ClientLoad>,
    ) -> Result<Self, NoSite> {
        let name = vet::host_name(host).map_err(NoSite::Malformed)?;
        let app = Arc::clone(apps.by_host(&name).ok_or(NoSite::Unknown)?);
        let is_of_app =
            |name: &str| apps.by_host(name).is_some_and(|other| Arc::ptr_eq(other, &app));
        let asked = RequestedAddress { host, https: origin.https, front };
        let (page, links) = asked.origins(apps.entry_points(), is_of_app);
        let others = asked.elsewhere(apps.entry_points(), is_of_app);
        let detour = apps.detour(&app, others, page.name());
        let client = origin.client.to_string();
        let quoted = if client.contains(':') { format!("\"[{client}]\"") } else { client.clone() };
        let forwarded = format!("for={quoted};host=\"{host}\";proto={}", origin.scheme());
        let [host_value, forwarded_for, forwarded] = side_by_side([host, &client, &forwarded])
            .map_err(|_not_a_value| {
                let sentence = "The Host header is not a valid host name.";
                NoSite::Malformed(Malformed { status: StatusCode::BAD_REQUEST, sentence })
            })?;
        Ok(Self {
            app,
            origin,
            front: front.map(KnownFront::of),
            page_text: page.to_string(),
            page,
            links: links.to_string(),
            others,
            detour,
            load,
            host: host.to_owned(),
            name,
            generation: apps.generation(),
            host_value,
            forwarded_for,
            forwarded,
        })
    }

    /// Returns the rule input for a request to this site.
    pub(in crate::proxy) fn asked<'a>(
        &'a self,
        method: &'a Method,
        path: Option<&'a RulePath<'a>>,
    ) -> RequestFacts<'a> {
        RequestFacts {
            method,
            path,
            host: &self.name,
            client: self.origin.client,
            preflight: false,
        }
    }

    /// Returns true if `host` still leads to this site, for the same client origin, front and
    /// generation of apps.
    pub(in crate::proxy) fn is(
        &self,
        generation: u64,
        host: &[u8],
        origin: Origin,
        front: Option<&Front<'_>>,
    ) -> bool {
        let same_front = match (&self.front, front) {
            (None, None) => true,
            (Some(known), Some(front)) => known.is(front),
            (None, Some(_)) | (Some(_), None) => false,
        };
        same_front
            && self.host.as_bytes() == host
            && self.origin == origin
            && self.generation == generation
    }

    /// Returns the generation of the apps that this site was found in.
    pub(in crate::proxy) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the host in lower case, without its port.
    pub(in crate::proxy) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the host as the client wrote it.
    pub(in crate::proxy) fn host(&self) -> &str {
        &self.host
    }
}
