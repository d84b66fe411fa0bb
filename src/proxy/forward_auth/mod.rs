//! Forward-auth: a trusted proxy asks about a request that it holds, and gets the gate's decision.

pub(in crate::proxy) mod answer;
pub(in crate::proxy) mod decide;
pub(in crate::proxy) mod original;
