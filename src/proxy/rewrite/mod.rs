//! Changes to requests and responses that pass: header hygiene, identity headers, names and cookies.

pub(in crate::proxy) mod forward;
pub(in crate::proxy) mod hygiene;
pub(in crate::proxy) mod left_out;
pub(in crate::proxy) mod own_name;
pub(in crate::proxy) mod slim;
pub(in crate::proxy) mod untrusted_names;
pub(in crate::proxy) mod workers;
