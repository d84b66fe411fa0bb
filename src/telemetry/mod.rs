//! What operators see: logs, metrics, the lines of the audit trail and the admin listener. It knows the ports it asks for
//! readiness, but no adapter.

pub mod admin;
mod caps;
pub mod lines;
pub mod logs;
