//! The protected apps, by host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use http::{HeaderName, Method};
use metrics::{Counter, counter};
use tokio::task::JoinSet;

use super::admit::front::EntryPoints;
use super::client::capacity::Capacity;
use super::client::load::{Places, Room};
use super::counts::RuleCounts;
use super::rewrite::own_name::OwnName;
use super::settings::{AnswerSettings, AppSettings, HostPattern, takes};
use super::upstream::pool::{BadUpstream, Upstream};
use crate::auth::app_sign_in::AppPolicy;
use crate::gate::dialect::Dialect;
use crate::gate::machine::TokenRule;
use crate::gate::policy::Policy;
use crate::web::AppPages;

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
    pub(super) strip_headers: Vec<HeaderName>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) own_name: Option<OwnName>,
    extra_methods: Vec<Method>,
    pub(super) forwarded: Counted,
    pub(super) refused: Counted,
    pub(super) rules: RuleCounts,
    /// Slots for concurrent requests to the app.
    pub(super) places: Arc<Places>,
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
        places: Arc<Places>,
        titles: &Arc<BTreeMap<String, String>>,
    ) -> Result<Self, BadUpstream> {
        let requests = |outcome: &'static str| {
            let app = settings.name.clone();
            Counted(counter!("vestibule_requests_total", "app" => app, "outcome" => outcome))
        };
        Ok(Self {
            pages: Arc::new(AppPages {
                name: settings.name.clone(),
                title: settings.title.clone(),
                issuer: issuer.to_owned(),
                keeps_passwords: settings.first_factor.is_some(),
                titles: Arc::clone(titles),
            }),
            policy: settings.policy.clone(),
            answers: settings.answers.clone(),
            dialect: settings.dialect.clone(),
            first_factor: settings.first_factor,
            tokens: settings.tokens.clone(),
            websocket: settings.websocket,
            service_workers: settings.service_workers,
            strip_headers: settings.strip_headers.clone(),
            upstream: Arc::new(Upstream::new(settings)?),
            own_name: settings.upstream.name.as_ref().and_then(OwnName::new),
            extra_methods: settings.extra_methods.clone(),
            forwarded: requests("forwarded"),
            refused: requests("refused"),
            rules: RuleCounts::new(&settings.name, &settings.policy),
            places,
        })
    }

    /// Returns the name of the app.
    pub(super) fn name(&self) -> &str {
        &self.pages.name
    }

    /// Returns true if the app accepts `method`.
    pub(super) fn takes(&self, method: &Method) -> bool {
        takes(&self.extra_methods, method)
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
}

impl Apps {
    /// Opens every app. `issuer` overrides their titles in authenticator apps. Requests in progress
    /// at the `former` apps still count.
    pub(super) async fn open(
        settings: &[AppSettings],
        issuer: Option<&str>,
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
        };
        let titles = settings.iter().map(|one| (one.name.clone(), one.title.clone()));
        let titles = Arc::new(titles.collect());
        for one in settings {
            let room = one.max_requests.map(Room::of);
            let room = room.unwrap_or_else(|| capacity.per_app(settings.len()));
            let places = former.and_then(|former| former.places(&one.name));
            let places = places.unwrap_or_else(|| Arc::new(Places::new(room)));
            places.set_room(room);
            let app = Arc::new(App::new(one, issuer.unwrap_or(&one.title), places, &titles)?);
            for host in &one.hosts {
                match host {
                    HostPattern::Exact(name) => apps.exact.insert(name.clone(), Arc::clone(&app)),
                    HostPattern::Wildcard(suffix) => {
                        apps.wildcard.insert(suffix.clone(), Arc::clone(&app))
                    }
                };
            }
            app.upstream.update().await;
            apps.watches.spawn(Arc::clone(&app.upstream).watch());
        }
        Ok(apps)
    }

    fn places(&self, name: &str) -> Option<Arc<Places>> {
        let mut all = self.exact.values().chain(self.wildcard.values());
        all.find(|app| app.name() == name).map(|app| Arc::clone(&app.places))
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

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn replace(&self, apps: Apps) {
        let generation = apps.generation();
        self.apps.store(Arc::new(apps));
        self.generation.store(generation, Ordering::Release);
    }
}
