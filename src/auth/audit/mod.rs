//! Security events with their context, and the audit log they are written to. They contain no
//! secrets: no password, code or token, no hash of one, and no typed name without an account (a
//! user may have typed a password there).

mod account_change;
pub mod chain;
mod context;
mod event;
mod fields;
mod kind;
mod occasion;
mod record;
mod table;
mod trail;
mod verify;
mod words;

pub use self::account_change::AccountChange;
pub use self::chain::{Checkpoint, Head};
pub use self::context::{Actor, Caller, Context};
pub use self::event::{Event, Kind};
pub use self::fields::{Detail, Ended, Guess, Outcome, TicketPurpose};
pub use self::kind::documentation;
pub use self::occasion::Occasion;
pub use self::record::{Link, NewRecord, Record};
pub use self::trail::{Observer, Trail};
pub use self::verify::{Finding, RecordedRow, Report, verify};
