//! The apps whose users sign in at the portal, for the portal's pages.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::site::Site;
use crate::auth::factor::Factor;
use crate::auth::session::Session;
use crate::base::clock::Clock;
use crate::gate::evaluate::{Denial, Facts, Route, Verdict};
use crate::gate::policy::{NoTrace, VisitorFacts};
use crate::gate::rule::RequestFacts;
use crate::proxy::app::{App, Apps};
use crate::web::icon::Icon;
use crate::web::portal::{Access, AppAddress, PortalApps};
use crate::web::return_to::ReturnTo;

/// The apps below the portal, as the client of one request reaches them.
pub(in crate::proxy) struct BelowPortal {
    pub(in crate::proxy) apps: Arc<Apps>,
    /// The portal.
    pub(in crate::proxy) site: Arc<Site>,
    pub(in crate::proxy) clock: Arc<dyn Clock>,
}

impl fmt::Debug for BelowPortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BelowPortal")
    }
}

impl BelowPortal {
    fn by_name(&self, name: &str) -> Option<&Arc<App>> {
        self.apps.below_portal().iter().find(|app| app.name() == name)
    }

    fn address(&self, app: &App, host: &str) -> AppAddress {
        AppAddress {
            name: app.name().to_owned(),
            title: app.pages.title.clone(),
            host: host.to_owned(),
            origin: self.site.others.origin(host).to_string(),
            icon: app.icon.clone(),
        }
    }
}

impl PortalApps for BelowPortal {
    fn find(&self, app: &str, host: Option<&str>) -> Option<AppAddress> {
        let app = self.by_name(app)?;
        let asked = |known: &&String| host.is_none_or(|host| host == *known);
        let host = app.hosts.iter().find(asked)?;
        Some(self.address(app, host))
    }

    fn access(&self, app: &AppAddress, target: &ReturnTo, session: &Session) -> Access {
        let Some(known) = self.by_name(&app.name) else { return Access::Denied };
        let Ok(target) = known.policy.target(target.as_str().as_bytes()) else {
            return Access::Denied;
        };
        let facts = Facts::of(RequestFacts {
            method: &Method::GET,
            path: target.path(),
            host: &app.host,
            client: self.site.origin.client,
            preflight: false,
        });
        let who = VisitorFacts::Full {
            identity: &session.identity,
            second_factor_at: session.second_factor_at,
            by_key: session.method == Factor::KEY,
        };
        match known.rules().evaluate(&target, &facts, who, &*self.clock, &mut NoTrace) {
            Route::App(Verdict::Forward(..)) => Access::Open,
            Route::App(Verdict::Deny(_, why)) | Route::Deny(why) => match why {
                Denial::StepUp => Access::AfterStepUp,
                Denial::UseKey => Access::AfterKey,
                Denial::SignIn | Denial::StepUpOfMachine | Denial::Forbidden => Access::Denied,
                // Not about the user: the app's host answers.
                Denial::Method
                | Denial::ServiceWorker
                | Denial::NotASignIn
                | Denial::TokenInUrl
                | Denial::ForeignOrigin => Access::Open,
            },
            Route::Own | Route::AppSignIn(_) => Access::Denied,
        }
    }

    fn all(&self) -> Vec<AppAddress> {
        let apps = self.apps.below_portal().iter();
        apps.filter_map(|app| Some(self.address(app, app.hosts.first()?))).collect()
    }

    fn icon(&self, path: &str) -> Option<Arc<Icon>> {
        let mut icons = self.apps.below_portal().iter().filter_map(|app| app.icon.as_ref());
        icons.find(|icon| icon.path() == path).cloned()
    }
}
