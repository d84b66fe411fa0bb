//! Sign-in by an app's own clients, as the dialect of the app describes it.

pub(in crate::proxy) mod app_call;
pub(in crate::proxy) mod in_dialect;
pub(in crate::proxy) mod sign_in;
