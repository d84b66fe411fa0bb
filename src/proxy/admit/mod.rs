//! Request admission: from a request to an admission, one of our own pages, or a refusal.

pub(in crate::proxy) mod arrival;
pub(in crate::proxy) mod caller;
pub(in crate::proxy) mod credentials;
pub(in crate::proxy) mod decide;
pub(in crate::proxy) mod facts;
pub(in crate::proxy) mod front;
pub(in crate::proxy) mod openings;
pub(in crate::proxy) mod own_token;
pub(in crate::proxy) mod portal;
mod resend;
pub(in crate::proxy) mod site;
pub(in crate::proxy) mod take_in;
pub(in crate::proxy) mod unidentified;
pub(in crate::proxy) mod vet;
pub(in crate::proxy) mod visitor;
pub(in crate::proxy) mod way;
