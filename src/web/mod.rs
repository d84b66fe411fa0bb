//! Our own pages: everything under `/_auth/`, as an HTTP service of its own, and the answers to
//! requests that are not forwarded.
//!
//! Pages are rendered here and work without script. It does not know Pingora, stores or
//! configuration, and holds no state: what it needs of a request comes as [`RequestContext`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::auth::token::{PendingToken, PlainToken};
use crate::base::address::ClientIp;
use crate::base::id::RequestId;

mod assets;
pub mod back;
pub mod cookies;
mod csrf;
mod failure;
mod form;
mod guard;
pub mod headers;
pub mod origin;
mod own_account;
mod pages;
mod recover;
pub mod refusal;
pub mod return_to;
mod routes;
mod service;
mod ticket_cookie;
mod view;
mod visit;
mod words;

#[cfg(test)]
mod recover_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testing_account;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_account;

pub use routes::{ROUTES, router};

/// What our pages need to know of the app they stand before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPages {
    /// Its name: sessions are bound to it.
    pub name: String,
    /// Its name on our pages.
    pub title: String,
    /// Its name in authenticator apps.
    pub issuer: String,
    /// It keeps and checks the passwords of its people itself.
    pub keeps_passwords: bool,
    /// The title of every app by its name.
    pub titles: Arc<BTreeMap<String, String>>,
}

impl AppPages {
    /// The title of the app with that name, or the name where there is no such app any more.
    fn title_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.titles.get(name).map_or(name, String::as_str)
    }
}

/// Tells where a login that waits for its second factor leads already.
#[async_trait]
pub trait Openings: fmt::Debug + Send + Sync {
    /// Whether the app's page at `target`, a path and query, is open to the password alone for the
    /// person who has just proved it.
    async fn opens(&self, login: &PlainToken<PendingToken>, target: &str) -> bool;
}

/// What the proxy knows of a request and our pages need: an extension of the request.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The app the host belongs to.
    pub app: Arc<AppPages>,
    /// Scheme and host as the browser used them: `https://host[:port]`, without a slash at the end.
    pub origin: String,
    /// What links to our pages start with, for people elsewhere: `https://host[:port]`.
    pub links: String,
    /// Where the request comes from.
    pub client: ClientIp,
    /// What names it in the log.
    pub request_id: RequestId,
    /// Where the password alone is enough; nothing, where no rule of the app says so.
    pub openings: Option<Arc<dyn Openings>>,
}
