//! What stays the same over the requests of one client for one host: the app, and the header values
//! that tell it where they came from. Made once and kept with the connection.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};

use super::front::{Asked as AskedFor, KnownFront};
use super::vet::{self, Malformed};
use crate::gate::rule::RequestFacts;
use crate::gate::values::side_by_side;
use crate::proxy::app::{App, Apps};
use crate::proxy::client::load::ClientLoad;
use crate::proxy::client::origin::Origin;
use crate::proxy::client::sender::Front;
use crate::web::origin::WebOrigin;

/// A host as one client sees it.
#[derive(Debug)]
pub(in crate::proxy) struct Site {
    /// The app that answers there.
    pub(in crate::proxy) app: Arc<App>,
    /// Where the requests come from.
    pub(in crate::proxy) origin: Origin,
    /// What a trusted proxy says of the front.
    front: Option<KnownFront>,
    /// The origin that the browser asked for, and the same as text.
    pub(in crate::proxy) page: WebOrigin,
    pub(in crate::proxy) page_text: String,
    /// What links to our pages start with, without a slash at the end.
    pub(in crate::proxy) links: String,
    /// What is in hand for clients of that network.
    pub(in crate::proxy) load: Arc<ClientLoad>,
    /// The host as the client wrote it: ASCII, checked.
    host: String,
    /// The same in lower case and without its port.
    name: String,
    /// The set of apps that this was found in.
    generation: u64,
    pub(in crate::proxy) host_value: HeaderValue,
    pub(in crate::proxy) forwarded_for: HeaderValue,
    pub(in crate::proxy) forwarded: HeaderValue,
}

/// Why there is no site.
pub(in crate::proxy) enum NoSite {
    /// The host is no name.
    Malformed(Malformed),
    /// No app is served there.
    Unknown,
}

impl Site {
    /// The site under `host`, as a client wrote it.
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
        let asked = AskedFor { host, https: origin.https, front };
        let (page, links) = asked.origins(apps.doors(), is_of_app);
        let client = origin.client.to_string();
        let quoted = if client.contains(':') { format!("\"[{client}]\"") } else { client.clone() };
        let forwarded = format!("for={quoted};host=\"{host}\";proto={}", origin.scheme());
        let [host_value, forwarded_for, forwarded] = side_by_side([host, &client, &forwarded])
            .map_err(|_not_a_value| {
                let sentence = "The Host header is not a name.";
                NoSite::Malformed(Malformed { status: StatusCode::BAD_REQUEST, sentence })
            })?;
        Ok(Self {
            app,
            origin,
            front: front.map(KnownFront::of),
            page_text: page.to_string(),
            page,
            links: links.to_string(),
            load,
            host: host.to_owned(),
            name,
            generation: apps.generation(),
            host_value,
            forwarded_for,
            forwarded,
        })
    }

    /// A request for this site as rules see it.
    pub(in crate::proxy) fn asked<'a>(
        &'a self,
        method: &'a Method,
        path: Option<&'a str>,
    ) -> RequestFacts<'a> {
        RequestFacts {
            method,
            path,
            host: &self.name,
            client: self.origin.client,
            preflight: false,
        }
    }

    /// Whether this is what `host` leads to in the apps of `generation` for a client of this origin,
    /// by this front.
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

    /// The host in lower case and without its port.
    pub(in crate::proxy) fn name(&self) -> &str {
        &self.name
    }

    /// The host as the client wrote it.
    pub(in crate::proxy) fn host(&self) -> &str {
        &self.host
    }
}
