//! Logs, metrics, the audit log as JSON lines, and the admin listener. This layer uses the ports of
//! stores for readiness, but no adapter.

pub mod admin;
mod caps;
pub mod lines;
pub mod logs;
pub mod metrics;
