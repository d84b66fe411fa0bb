//! Security events with their context, and the audit log they are written to. They contain no
//! secrets: no password, code or token, no hash of one, and no typed name without an account (a
//! user may have typed a password there).

mod account_change;
pub mod chain;
mod context;
mod event;
mod fields;
mod kind;
mod record;
mod token_event;
mod trail;
mod verify;

pub use self::account_change::AccountChange;
pub use self::chain::{Checkpoint, Head};
pub use self::context::{Actor, Caller, Context};
pub use self::event::Event;
pub use self::fields::{Ended, Guess, Outcome, TicketPurpose};
pub use self::kind::Kind;
pub use self::record::{Link, NewRecord, Record};
pub use self::token_event::TokenEvent;
pub use self::trail::{Observer, Trail};
pub use self::verify::{Finding, RecordedRow, Report, verify};
