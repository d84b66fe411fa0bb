//! The Pingora proxy: listeners, limits, header hygiene, upstreams, and the bridge to our own
//! pages. The only module that names Pingora.

mod admit;
mod answered;
mod app;
mod client;
mod counts;
mod dialect;
mod drain;
mod forward_auth;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod live;
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
pub use self::server::{Proxy, ProxyDeps, ProxyError, ReloadHandle, TakeSocket};
pub use self::upstream::pool::BadUpstream;
pub use self::upstream::trial::try_connect;
