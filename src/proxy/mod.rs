//! The Pingora proxy: listeners, limits, header hygiene, upstreams, and the bridge to our own
//! pages. The only module that names Pingora.

mod admit;
mod app;
mod client;
mod counts;
mod dialect;
mod gateway;
mod log;
mod request;
mod request_ids;
mod respond;
mod rewrite;
mod server;
pub mod settings;
mod upstream;

pub use self::client::tls::{BadCertificate, out_of_date};
pub use self::dialect::app_call::AppCalls;
pub use self::server::{Proxy, ProxyDeps, ProxyError, ReloadHandle};
pub use self::upstream::pool::BadUpstream;
pub use self::upstream::trial::try_connect;
