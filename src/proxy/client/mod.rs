//! Connections of clients: listeners, TLS, limits, deadlines, and the address and scheme of a client.

pub(in crate::proxy) mod capacity;
pub(in crate::proxy) mod connection;
pub(in crate::proxy) mod doubts;
pub(in crate::proxy) mod forwarded;
pub(in crate::proxy) mod gather;
pub(in crate::proxy) mod idle;
pub(in crate::proxy) mod linger;
pub(in crate::proxy) mod listen;
pub(in crate::proxy) mod load;
pub(in crate::proxy) mod open;
pub(in crate::proxy) mod origin;
pub(in crate::proxy) mod parting;
pub(in crate::proxy) mod proxy_header;
pub(in crate::proxy) mod request_line;
pub(in crate::proxy) mod sender;
pub(in crate::proxy) mod slot;
pub(in crate::proxy) mod socket;
pub(in crate::proxy) mod tls;
pub(in crate::proxy) mod usage;
