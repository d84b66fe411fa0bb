//! The Pingora proxy: listeners, limits, header hygiene, upstreams, and the bridge to our own
//! pages. The only module that names Pingora.

mod answers;
mod app;
mod app_call;
mod arrival;
mod bridge;
mod client;
mod client_tls;
mod connection;
mod counts;
mod credentials;
mod entry;
mod foreign_origin;
mod forward;
mod gateway;
mod handshake;
mod hygiene;
mod in_dialect;
mod listen;
mod log;
mod openings;
mod own_name;
mod own_pages;
mod own_token;
mod phase;
mod quiet;
mod refused;
mod request;
mod server;
pub mod settings;
mod sign_in;
mod site;
mod socket;
mod tls;
mod trial;
mod tunnel;
mod upstream;
mod vet;
mod who;
mod why;
mod workers;

pub use self::app_call::AppCalls;
pub use self::server::{Proxy, ProxyDeps, ProxyError, ReloadHandle};
pub use self::tls::{BadCertificate, out_of_date};
pub use self::trial::try_connect;
pub use self::upstream::BadUpstream;
