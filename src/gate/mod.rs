//! The gate decides if a request may be forwarded. It takes a policy and a visitor and returns a
//! decision. It does not depend on HTML pages, Pingora or stores.

pub mod admission;
pub mod app_tokens;
pub mod assertion;
pub mod dialect;
pub mod evaluate;
mod fold;
pub mod glob;
pub mod host;
pub mod identity;
pub mod keeper;
mod known;
pub mod last_assertion;
pub mod logins;
pub mod machine;
pub mod path;
pub mod policy;
mod recent;
pub mod rule;
pub mod sessions;
mod shared_loads;
pub mod target;
pub mod values;
