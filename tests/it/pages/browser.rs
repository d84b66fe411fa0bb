//! A browser with a cookie jar, connected to the pages without a network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, SET_COOKIE, USER_AGENT};
use http::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use vestibule::auth::factor::FirstFactorKind;
use vestibule::base::address::ClientIp;
use vestibule::base::id::RequestId;
use vestibule::base::random::OsRandom;
use vestibule::web::portal::Role;
use vestibule::web::{AppPages, RequestContext};

use super::super::support::html;

pub(super) const ORIGIN: &str = "https://gw.test";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

#[derive(Clone)]
pub(super) struct Browser {
    pub(super) router: Router,
    pub(super) jar: BTreeMap<String, String>,
    pub(super) address: IpAddr,
    pub(super) user_agent: &'static str,
}

/// A response with its body.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn location(&self) -> &str {
        self.headers.get("location").map_or("", |v| v.to_str().unwrap())
    }

    /// Returns the form token in the page.
    pub(super) fn csrf(&self) -> String {
        html::field(&self.body, "csrf").unwrap_or_default()
    }

    /// Returns the values of all hidden fields called `id`.
    pub(super) fn ids(&self) -> Vec<String> {
        let parts = self.body.split("name=\"id\" value=\"").skip(1);
        parts.filter_map(|part| part.split('"').next()).map(str::to_owned).collect()
    }
}

impl Browser {
    pub(super) fn new(router: Router) -> Self {
        Self { router, jar: BTreeMap::new(), address: [192, 0, 2, 7].into(), user_agent: FIREFOX }
    }

    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Got {
        if !self.jar.is_empty() {
            let line: Vec<_> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
            request.headers_mut().append(COOKIE, line.join("; ").parse().unwrap());
        }
        request.headers_mut().insert(USER_AGENT, self.user_agent.parse().unwrap());
        let pages = AppPages {
            name: "app".to_owned(),
            title: "CellEngine".to_owned(),
            issuer: "App".to_owned(),
            first_factor: FirstFactorKind::Password,
            titles: Arc::new([("app".to_owned(), "CellEngine".to_owned())].into()),
        };
        request.extensions_mut().insert(RequestContext {
            app: Arc::new(pages),
            origin: ORIGIN.to_owned(),
            links: ORIGIN.to_owned(),
            client: ClientIp::new(self.address),
            request_id: RequestId::random(&OsRandom::new()).unwrap(),
            openings: None,
            role: Role::Alone,
        });
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(SET_COOKIE) {
            let cookie = cookie::Cookie::parse(set.to_str().unwrap().to_owned()).unwrap();
            if cookie.value().is_empty() {
                self.jar.remove(cookie.name());
            } else {
                self.jar.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Got {
        self.ask(Method::GET, path, &[]).await
    }

    pub(super) async fn post(&mut self, path: &str, body: String) -> Got {
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("origin", ORIGIN);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Opens the page, then sends its form with these fields.
    pub(super) async fn fill(&mut self, path: &str, fields: &str) -> Got {
        let csrf = self.get(path).await.csrf();
        self.post(path, format!("csrf={csrf}&{fields}")).await
    }
}
