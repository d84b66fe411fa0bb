//! Rewrites forwarded requests and responses: header hygiene, identity headers, host names and
//! cookies.

pub(in crate::proxy) mod app_headers;
mod caching;
pub(in crate::proxy) mod forward;
pub(in crate::proxy) mod hygiene;
pub(in crate::proxy) mod omitted;
pub(in crate::proxy) mod own_name;
pub(in crate::proxy) mod slim;
pub(in crate::proxy) mod untrusted_names;
pub(in crate::proxy) mod workers;
