//! May this request be forwarded? Policy and visitor in, decision out. It does not know HTTP
//! pages, Pingora or stores.

pub mod admission;
pub mod policy;
pub mod sessions;
pub mod target;
