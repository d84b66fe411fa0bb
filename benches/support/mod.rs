//! What the benches and their load generator share: an HTTP/1.1 client on loopback and the walk
//! through the real sign-in pages. It knows only the outside of the gateway.

pub(crate) mod client;
pub(crate) mod sign_in;

/// Whatever stops a measurement.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
