//! Answers that the gateway gives itself: refusals, CORS, and the bridge to our own pages.

pub(in crate::proxy) mod answers;
pub(in crate::proxy) mod bridge;
pub(in crate::proxy) mod own_pages;
pub(in crate::proxy) mod park;
pub(in crate::proxy) mod refused;
pub(in crate::proxy) mod sent_form;
pub(in crate::proxy) mod unreadable;
pub(in crate::proxy) mod why;
