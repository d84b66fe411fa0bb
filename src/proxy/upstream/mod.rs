//! Connections to the apps: addresses, TLS, retries and tunnels.

pub(in crate::proxy) mod again;
pub(in crate::proxy) mod balance;
mod checks;
pub(in crate::proxy) mod client_tls;
pub(in crate::proxy) mod figures;
pub(in crate::proxy) mod handshake;
mod names;
pub(in crate::proxy) mod outcome;
pub(in crate::proxy) mod pool;
pub(in crate::proxy) mod sent;
pub(in crate::proxy) mod spent;
pub(in crate::proxy) mod target;
pub(in crate::proxy) mod trial;
