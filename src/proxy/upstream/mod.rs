//! Connections to the apps: addresses, TLS, retries and tunnels.

pub(in crate::proxy) mod again;
pub(in crate::proxy) mod client_tls;
pub(in crate::proxy) mod handshake;
pub(in crate::proxy) mod pool;
pub(in crate::proxy) mod spent;
pub(in crate::proxy) mod trial;
pub(in crate::proxy) mod tunnel;
pub(in crate::proxy) mod tunnel_watch;
