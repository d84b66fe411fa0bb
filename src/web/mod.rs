//! The gateway's own pages under `/_auth/`, as an HTTP service, and the responses to rejected requests.
//!
//! Pages work without script. The service has no state and no access to Pingora, stores or
//! configuration: each request brings a [`RequestContext`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use self::back::Back;
use self::portal::{PortalApps, Role};
use crate::auth::factor::FirstFactorKind;
use crate::auth::token::{PendingToken, PlainToken};
use crate::base::address::ClientIp;
use crate::base::id::RequestId;

mod assets;
pub mod back;
pub mod cookies;
mod csrf;
mod elsewhere;
mod failure;
mod form;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
pub mod headers;
pub mod icon;
mod onward;
pub mod origin;
mod pages;
pub mod portal;
mod qr;
pub mod refusal;
pub mod return_to;
mod routes;
mod ticket_cookie;
mod token;
mod view;
mod visit;
mod words;

pub use pages::resend::Resend;
pub use routes::{ROUTES, router};

/// Properties of the app whose users the pages serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPages {
    /// Name of the app, which its sessions are bound to.
    pub name: String,
    /// Name of the app on pages.
    pub title: String,
    /// Issuer shown in authenticator apps.
    pub issuer: String,
    /// First factor of the app's users.
    pub first_factor: FirstFactorKind,
    /// Titles of all apps, by name.
    pub titles: Arc<BTreeMap<String, String>>,
}

impl AppPages {
    /// Returns the title of an app, or its name if the app no longer exists.
    fn title_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.titles.get(name).map_or(name, String::as_str)
    }
}

/// Finds the pages that are open to the password alone, before the second factor.
#[async_trait]
pub trait Openings: fmt::Debug + Send + Sync {
    /// Returns true if the app's page at `target`, a path and query, is open to the user of this
    /// pending login.
    async fn opens(&self, login: &PlainToken<PendingToken>, target: &str) -> bool;
}

/// Facts about a request that the proxy passes to the pages, as an extension of the request.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The app that the host belongs to.
    pub app: Arc<AppPages>,
    /// Scheme and host as the browser used them: `https://host[:port]`, without a trailing slash.
    pub origin: String,
    /// Base of absolute links to the pages: `https://host[:port]`.
    pub links: String,
    /// The client address.
    pub client: ClientIp,
    /// Id of the request in the log.
    pub request_id: RequestId,
    /// Finds pages open to the password alone; `None` if no rule of the app has any.
    pub openings: Option<Arc<dyn Openings>>,
    /// The part that the host has in signing users in.
    pub role: Role,
}

impl RequestContext {
    /// Returns the URL of the sign-in page for scripts.
    fn login_url(&self) -> String {
        match &self.role {
            Role::BelowPortal(detour) => detour.to(portal::LOGIN, &Back::root(), None),
            Role::Alone | Role::Portal(_) => format!("{}{}", self.links, portal::LOGIN),
        }
    }

    /// Returns the apps below this host, if it is the portal.
    fn portal(&self) -> Option<&Arc<dyn PortalApps>> {
        match &self.role {
            Role::Portal(apps) => Some(apps),
            Role::Alone | Role::BelowPortal(_) => None,
        }
    }
}
