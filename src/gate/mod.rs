//! May this request be forwarded? Policy and visitor in, decision out. It does not know HTTP
//! pages, Pingora or stores.

pub mod admission;
pub mod app_tokens;
pub mod dialect;
pub mod glob;
pub mod host;
pub mod identity;
pub mod keeper;
pub mod logins;
pub mod machine;
pub mod policy;
pub mod rule;
pub mod sessions;
pub mod target;
pub mod values;
