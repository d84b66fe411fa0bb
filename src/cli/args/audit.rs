//! Arguments of `vestibule audit`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::StateArgs;
use crate::auth::audit::Kind;
use crate::base::address::ClientIp;

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditArgs {
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    #[command(subcommand)]
    pub(in crate::cli) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// List audit events, newest first
    List(AuditListArgs),
    /// Verify the hash chain of the audit log; exit 1 if rows were changed, removed or inserted
    Verify {
        /// Last row printed by an earlier `verify` and kept elsewhere: proves that no row up to it
        /// was changed since
        #[arg(long, value_name = "ROW:HASH")]
        noted: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditListArgs {
    /// Only events of this user, including a removed one
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) user: Option<String>,
    /// Only events from this moment on: a date, a time, or an age such as 7d
    #[arg(long, value_name = "WHEN")]
    pub(in crate::cli) since: Option<String>,
    /// Only events before this moment: a time, an age, or a date, which is included
    #[arg(long, value_name = "WHEN")]
    pub(in crate::cli) until: Option<String>,
    /// Only events of this type, such as signed_in
    #[arg(
        long,
        value_name = "EVENT",
        value_parser = PossibleValuesParser::new(Kind::names()),
        hide_possible_values = true
    )]
    pub(in crate::cli) event: Option<String>,
    /// Only events of the request with this reference, such as K7QX-3FZA, or request id
    #[arg(long, value_name = "REFERENCE")]
    pub(in crate::cli) reference: Option<String>,
    /// Only events from this client address, or "unknown"
    #[arg(long, value_name = "IP")]
    pub(in crate::cli) address: Option<ClientIp>,
    /// Maximum number of events
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(in crate::cli) limit: u32,
}
