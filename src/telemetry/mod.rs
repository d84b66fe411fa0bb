//! What operators see: logs, metrics and the admin listener. It knows the ports it asks for
//! readiness, but no adapter.

pub mod admin;
pub mod logs;
