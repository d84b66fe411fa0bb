//! The protected apps, by host.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use http::Method;
use metrics::{Counter, counter};
use tokio::task::JoinSet;

use super::admit::front::{EntryPoints, OtherHosts};
use super::answered::{self, Answered};
use super::client::capacity::Capacity;
use super::client::load::{Places, Room};
use super::counts::RuleCounts;
use super::rewrite::app_headers::AppHeaders;
use super::rewrite::own_name::OwnName;
use super::settings::{AnswerSettings, AppSettings, ForwardedBy, HostPattern, PortalSettings};
use super::upstream::figures;
use super::upstream::pool::{BadUpstream, Upstream};
use crate::auth::app_sign_in::AppPolicy;
use crate::auth::factor::FirstFactorKind;
use crate::auth::keys::AssertionSigner;
use crate::auth::session::PORTAL;
use crate::gate::dialect::Dialect;
use crate::gate::evaluate::AppRules;
use crate::gate::glob::PathGlob;
use crate::gate::machine::TokenRule;
use crate::gate::policy::{Policy, Target};
use crate::gate::sessions::Use;
use crate::gate::target::CanonicalTarget;
use crate::web::AppPages;
use crate::web::icon::Icon;
use crate::web::portal::Detour;

/// A configured app.
#[derive(Debug)]
pub(super) struct App {
    pub(super) pages: Arc<AppPages>,
    pub(super) policy: Policy,
    pub(super) answers: AnswerSettings,
    pub(super) dialect: Option<Arc<Dialect>>,
    pub(super) first_factor: Option<AppPolicy>,
    pub(super) tokens: Vec<TokenRule>,
    pub(super) websocket: bool,
    pub(super) service_workers: bool,
    /// The headers of the app, as far as they differ from the default.
    pub(super) headers: Option<Box<AppHeaders>>,
    pub(super) forwarded_by: ForwardedBy,
    pub(super) upstream: Arc<Upstream>,
    pub(super) own_name: Option<OwnName>,
    passive: Vec<PathGlob>,
    pub(super) parks: bool,
    extra_methods: Vec<Method>,
    related_origins_at: Option<String>,
    pub(super) forwarded: Counted,
    pub(super) failed: Counted,
    pub(super) refused: Counted,
    pub(super) rules: RuleCounts,
    pub(super) answered: Arc<Answered>,
    /// Slots for concurrent requests to the app.
    pub(super) places: Arc<Places>,
    pub(super) role: AppRole,
    /// Its hosts without a wildcard.
    pub(super) hosts: Vec<String>,
    /// Its icon at the portal.
    pub(super) icon: Option<Arc<Icon>>,
}

/// The part of an app in signing users in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppRole {
    /// It signs its users in at its own host.
    Alone,
    /// Its users sign in at the portal.
    BelowPortal,
    /// It is the portal. Nothing is forwarded.
    Portal,
}

/// A counter handle, registered once, so counting needs no lookup.
pub(super) struct Counted(Counter);

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

impl Counted {
    pub(super) fn one(&self) {
        self.0.increment(1);
    }
}

impl App {
    pub(super) fn new(
        settings: &AppSettings,
        issuer: &str,
        (places, answered): (Arc<Places>, Arc<Answered>),
        upstream: Arc<Upstream>,
        titles: &Arc<BTreeMap<String, String>>,
        signer: &AssertionSigner,
    ) -> Self {
        let requests = |outcome: &'static str| {
            let app = settings.name.clone();
            Counted(counter!("vestibule_requests_total", "app" => app, "outcome" => outcome))
        };
        Self {
            pages: Arc::new(AppPages {
                name: settings.name.clone(),
                title: settings.title.clone(),
                issuer: issuer.to_owned(),
                first_factor: match settings.first_factor {
                    Some(_) => FirstFactorKind::App,
                    None => FirstFactorKind::Password,
                },
                titles: Arc::clone(titles),
            }),
            policy: settings.policy.clone(),
            answers: settings.answers.clone(),
            dialect: settings.dialect.clone(),
            first_factor: settings.first_factor,
            tokens: settings.tokens.clone(),
            websocket: settings.websocket,
            service_workers: settings.service_workers,
            headers: AppHeaders::of(settings, signer),
            forwarded_by: settings.forwarded_by,
            upstream,
            own_name: settings.upstream.name.as_ref().and_then(OwnName::new),
            passive: settings.passive.clone(),
            parks: settings.parks,
            extra_methods: settings.extra_methods.clone(),
            related_origins_at: settings.related_origins_at.clone(),
            forwarded: requests("forwarded"),
            failed: requests("failed"),
            refused: requests("refused"),
            rules: RuleCounts::new(&settings.name, &settings.policy),
            answered,
            places,
            role: if settings.portal { AppRole::BelowPortal } else { AppRole::Alone },
            hosts: settings.hosts.iter().filter_map(HostPattern::exact).collect(),
            icon: settings.icon.clone(),
        }
    }

    /// Returns true for the portal, which answers every request itself.
    pub(super) fn is_portal(&self) -> bool {
        self.role == AppRole::Portal
    }

    /// Returns the name of the app.
    pub(super) fn name(&self) -> &str {
        &self.pages.name
    }

    /// Returns the effect of a request for `target` on the idle time of its session. A path
    /// without a canonical form is not passive.
    pub(super) fn counts(&self, target: &Target<'_>) -> Use {
        if self.passive.is_empty() {
            return Use::Counts;
        }
        let path = match target.path() {
            Some(path) => Ok(Cow::Borrowed(path.as_str())),
            None => {
                CanonicalTarget::canonical(target.raw()).map(|t| Cow::Owned(t.path().to_owned()))
            }
        };
        let passive = path.is_ok_and(|path| self.passive.iter().any(|glob| glob.matches(&path)));
        if passive { Use::Passive } else { Use::Counts }
    }

    /// Returns the settings that the gate decides by.
    pub(super) fn rules(&self) -> AppRules<'_> {
        AppRules {
            policy: &self.policy,
            extra_methods: &self.extra_methods,
            service_workers: self.service_workers,
            dialect: self.dialect.as_deref(),
            first_factor: self.first_factor,
            related_origins_at: self.related_origins_at.as_deref(),
        }
    }
}

/// All apps, with the health checks of their upstreams, which stop on drop.
#[derive(Debug)]
pub(super) struct Apps {
    generation: u64,
    entry_points: EntryPoints,
    exact: HashMap<String, Arc<App>>,
    wildcard: HashMap<String, Arc<App>>,
    watches: JoinSet<()>,
    /// The host of the portal, if there is one.
    portal: Option<String>,
    /// The apps whose users sign in there.
    below: Vec<Arc<App>>,
}

impl Apps {
    /// Opens every app. `issuer` overrides their titles in authenticator apps, `signer` signs their
    /// assertions. Requests in progress at the `former` apps still count.
    pub(super) async fn open(
        (settings, portal): (&[AppSettings], Option<&PortalSettings>),
        (issuer, signer): (Option<&str>, &AssertionSigner),
        entry_points: EntryPoints,
        capacity: Capacity,
        former: Option<&Self>,
    ) -> Result<Self, BadUpstream> {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let mut apps = Self {
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            entry_points,
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            watches: JoinSet::new(),
            portal: None,
            below: Vec::new(),
        };
        let titles = settings.iter().map(|one| (one.name.clone(), one.title.clone()));
        let of_portal = portal.map(|portal| (PORTAL.to_owned(), portal.title.clone()));
        let titles = Arc::new(titles.chain(of_portal).collect());
        for one in settings {
            let room = one.max_requests.map(Room::of);
            let room = room.unwrap_or_else(|| capacity.per_app(settings.len()));
            let former = former.and_then(|former| former.by_name(&one.name));
            let places = former.map(|former| Arc::clone(&former.places));
            let places = places.unwrap_or_else(|| Arc::new(Places::new(room)));
            places.set_room(room);
            let answered = former.map(|former| Arc::clone(&former.answered));
            let answered = answered.unwrap_or_else(|| Arc::new(Answered::new(&one.name)));
            let upstream = Upstream::new(one, former.map(|former| &*former.upstream))?;
            let upstream = Arc::new(upstream);
            if one.forwarded_by != ForwardedBy::Others {
                upstream.update().await;
                apps.watches.spawn(Arc::clone(&upstream).watch());
            }
            let issuer = issuer.unwrap_or(&one.title);
            let app =
                Arc::new(App::new(one, issuer, (places, answered), upstream, &titles, signer));
            for host in &one.hosts {
                match host {
                    HostPattern::Exact(name) => apps.exact.insert(name.clone(), Arc::clone(&app)),
                    HostPattern::Wildcard(suffix) => {
                        apps.wildcard.insert(suffix.clone(), Arc::clone(&app))
                    }
                };
            }
            if app.role == AppRole::BelowPortal {
                apps.below.push(app);
            }
        }
        if let Some(portal) = portal {
            let settings = portal.as_app();
            let room = capacity.per_app(apps.below.len() + 1);
            let kept = (Arc::new(Places::new(room)), Arc::new(Answered::new(PORTAL)));
            let upstream = Arc::new(Upstream::new(&settings, None)?);
            let issuer = issuer.unwrap_or(&portal.title);
            let app = App::new(&settings, issuer, kept, upstream, &titles, signer);
            let app = Arc::new(App { role: AppRole::Portal, ..app });
            apps.exact.insert(portal.host.clone(), app);
            apps.portal = Some(portal.host.clone());
        }
        Ok(apps)
    }

    /// Returns the apps whose users sign in at the portal, in the order of the configuration.
    pub(super) fn below_portal(&self) -> &[Arc<App>] {
        &self.below
    }

    /// Returns the way to the portal from a page of this app at `host`, if its users sign in there.
    pub(super) fn detour(&self, app: &App, others: OtherHosts, host: &str) -> Option<Arc<Detour>> {
        let portal = self.portal.as_ref().filter(|_| app.role == AppRole::BelowPortal)?;
        let is_first = app.hosts.first().is_some_and(|first| first == host);
        Some(Arc::new(Detour {
            portal: others.origin(portal).to_string(),
            app: app.name().to_owned(),
            host: (!is_first).then(|| host.to_owned()),
        }))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<App>> {
        self.exact.values().chain(self.wildcard.values())
    }

    fn by_name(&self, name: &str) -> Option<&Arc<App>> {
        self.all().find(|app| app.name() == name)
    }

    /// Writes metrics of all apps that are read rather than pushed.
    fn write_metrics(&self, page: &mut String) -> std::fmt::Result {
        let apps: BTreeMap<_, _> = self.all().map(|app| (app.name(), app)).collect();
        let answered = apps.values().map(|app| Arc::clone(&app.answered));
        answered::write(&answered.collect::<Vec<_>>(), page)?;
        let of_app = |(name, app): (&&'_ str, &&Arc<App>)| {
            let name = (*name).to_owned();
            app.upstream.targets().into_iter().map(move |target| (name.clone(), target))
        };
        figures::write(&apps.iter().flat_map(of_app).collect::<Vec<_>>(), page)
    }

    /// Returns the number that tells these apps from those before and after a reload.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the public addresses of the gateway.
    pub(super) fn entry_points(&self) -> &EntryPoints {
        &self.entry_points
    }

    /// Returns the app at `host`, which is in lower case and without a port.
    pub(super) fn by_host(&self, host: &str) -> Option<&Arc<App>> {
        self.exact.get(host).or_else(|| {
            let (label, _) = host.split_once('.')?;
            self.wildcard.get(host.get(label.len()..)?)
        })
    }
}

/// The apps in service.
#[derive(Debug)]
pub(super) struct CurrentApps {
    apps: ArcSwap<Apps>,
    /// The generation of `apps`, readable without a guard on them.
    generation: AtomicU64,
}

impl CurrentApps {
    pub(super) fn new(apps: Apps) -> Self {
        let generation = AtomicU64::new(apps.generation());
        Self { apps: ArcSwap::from_pointee(apps), generation }
    }

    pub(super) fn load(&self) -> Guard<Arc<Apps>> {
        self.apps.load()
    }

    /// Returns the apps, for use beyond this request phase.
    pub(super) fn load_full(&self) -> Arc<Apps> {
        self.apps.load_full()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns metrics of all apps in the text format of Prometheus.
    pub(super) fn metrics(&self) -> String {
        let mut page = String::new();
        let written = self.load().write_metrics(&mut page);
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        page
    }

    pub(super) fn replace(&self, apps: Apps) {
        let generation = apps.generation();
        self.apps.store(Arc::new(apps));
        self.generation.store(generation, Ordering::Release);
    }
}
