//! The facts of a request that the gate decides by.

use http::header;
use pingora_http::RequestHeader;

use super::site::Site;
use super::vet::HeaderFacts;
use crate::gate::dialect::Credentials;
use crate::gate::evaluate::{Facts, Handshake};
use crate::gate::path::RulePath;
use crate::gate::rule::RequestFacts;
use crate::web::origin::Source;

impl Site {
    /// Returns the facts of a request to this site. `path` is the one that rules see.
    pub(in crate::proxy) fn facts<'a>(
        &'a self,
        request: &'a RequestHeader,
        headers: HeaderFacts,
        path: Option<&'a RulePath<'a>>,
        credentials: Option<&'a Credentials>,
    ) -> Facts<'a> {
        let asked = self.asked(&request.method, path);
        Facts {
            request: RequestFacts { preflight: headers.preflight, ..asked },
            service_worker: headers.service_worker,
            handshake: self.handshake(request, headers),
            credentials,
        }
    }

    fn handshake(&self, request: &RequestHeader, headers: HeaderFacts) -> Handshake {
        if !headers.websocket {
            Handshake::None
        } else if !request.headers.contains_key(header::ORIGIN) {
            Handshake::Unnamed
        } else if Source::of(&request.headers, &self.page) == Source::Here {
            Handshake::Here
        } else {
            Handshake::Foreign
        }
    }
}
