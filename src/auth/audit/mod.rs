//! Security events: what happened, to whom, from where, by whose hand, and the trail they are
//! written to. Nothing secret is in any of them: no password, code, token or hash of one, and no
//! name that belongs to no account (somebody may have typed a password there).

mod account_change;
pub mod chain;
mod context;
mod event;
mod kind;
mod record;
mod token_event;
mod trail;
mod verify;

pub use self::account_change::AccountChange;
pub use self::chain::{Checkpoint, Head};
pub use self::context::{Actor, Caller, Context};
pub use self::event::{Asked, Ended, Event, Guess, Outcome};
pub use self::kind::Kind;
pub use self::record::{Link, NewRecord, Record};
pub use self::token_event::TokenEvent;
pub use self::trail::{Observer, Trail};
pub use self::verify::{Finding, Noted, Report, verify};
