//! The end of long requests with the session, token or rule that let them in: `WebSockets`, event
//! streams, downloads, uploads, and requests that the app has not answered yet.
//!
//! A request notes in a place of its connection what let it in, without a lookup or a timer. A sweep
//! takes the requests that are older than 200 ms, reads their sessions together, and ends those whose
//! session has ended.

mod end;
pub(super) mod pulse;
pub(super) mod request;
mod rules;
pub(super) mod served;
pub(super) mod sweep;
