//! The data that all requests share. Its methods are in the folders next to this one; `proxy_http`
//! implements Pingora's phases.

pub(super) mod phase;
mod proxy_http;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use axum::Router;
use ipnet::IpNet;

use super::app::CurrentApps;
use super::client::doubts::Doubts;
use super::client::linger::Lingering;
use super::client::load::Loads;
use super::dialect::app_call::AppCalls;
use super::live::pulse::Pulse;
use super::request_ids::RequestIds;
use super::settings::BodyIdle;
use super::upstream::spent::Spent;
use crate::auth::keys::KeyRing;
use crate::auth::login::Services;
use crate::base::clock::Clock;
use crate::gate::app_tokens::BoundTokens;
use crate::gate::keeper::RefusalKeeper;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::Machines;
use crate::gate::sessions::CachedSessions;

/// The gateway, as Pingora calls it.
pub(super) struct Gateway {
    pub(super) apps: Arc<CurrentApps>,
    pub(super) pages: Router,
    pub(super) sessions: Arc<CachedSessions>,
    pub(super) logins: Arc<CachedLogins>,
    pub(super) login: Arc<Services>,
    pub(super) bound: Arc<BoundTokens>,
    pub(super) machines: Arc<Machines>,
    pub(super) calls: Arc<AppCalls>,
    pub(super) refusals: RefusalKeeper,
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: RequestIds,
    pub(super) loads: Arc<Loads>,
    pub(super) trusted: Vec<IpNet>,
    pub(super) doubts: Arc<Doubts>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) lingering: Arc<Lingering>,
    pub(super) body_idle: Arc<ArcSwap<BodyIdle>>,
    pub(super) spent: Spent,
    pub(super) pulse: Arc<Pulse>,
}
