//! What can be typed.
#![expect(clippy::doc_markdown, reason = "the comments are the help, shown as plain text")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::auth::app_sign_in::Subject;
use crate::base::address::ClientIp;
use crate::base::id::{SessionId, TokenId};

/// A reverse-proxy authentication gateway: password, then a one-time code, then your application.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or configuration.")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// See it work: a sample app behind the gateway on https://localhost:8443, until Ctrl-C
    Demo(DemoArgs),
    /// Run the gateway
    Serve(ConfigArgs),
    /// Check a configuration and print the settings in effect
    Check(CheckArgs),
    /// Tell what would become of a request, and which rule says so
    Explain(ExplainArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Make or rotate the key file
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Add, change and remove users
    User(UserArgs),
    /// List and end sessions
    Session(SessionArgs),
    /// Read the audit trail and check that it is whole
    Audit(AuditArgs),
    /// Make, list and revoke tokens for programs
    Token(TokenArgs),
    /// Tell why a request was refused, by the reference that its answer showed
    Why(WhyArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep the data in this directory; otherwise a fresh one is made and removed at the end
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Listen here
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
}

/// Which configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "VESTIBULE_CONFIG")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Also try Redis, SQL, certificates and upstreams
    #[arg(long)]
    pub(super) online: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Method, such as GET
    pub(super) method: String,
    /// Address, such as https://app.example.com/path; it is taken as it is written
    pub(super) url: String,
    /// This user, signed in with both factors; otherwise nobody is signed in
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// As if the user were in this group too; may be repeated
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    pub(super) groups: Vec<String>,
    /// Only the user's password is proved
    #[arg(long, requires = "user", conflicts_with = "second_factor_age")]
    pub(super) password_only: bool,
    /// How long ago the second factor was proved, such as 10m [default: just now]
    #[arg(long, value_name = "TIME", requires = "user", value_parser = humantime::parse_duration)]
    pub(super) second_factor_age: Option<Duration>,
    /// By a token of ours or of the app's that allows the request, in the user's name
    #[arg(long, requires = "user", conflicts_with_all = ["password_only", "second_factor_age"])]
    pub(super) by_token: bool,
    /// Where the request comes from: an IP address, or "unknown"
    #[arg(long, value_name = "IP", visible_alias = "network")]
    pub(super) address: Option<ClientIp>,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Reference, such as K7QX-3FZA, or a whole request id
    pub(super) reference: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key file (mode 0600); a file that is there already is left alone
    Init {
        /// The key file
        file: PathBuf,
    },
    /// Add a new key to every ring; what was made with the old ones stays valid
    Rotate {
        /// The key file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(subcommand)]
    pub(super) command: TokenCommand,
}

#[derive(Debug, Args)]
pub(super) struct TokenCreateArgs {
    /// Whom the program stands for
    #[arg(long, value_name = "NAME")]
    pub(super) user: String,
    /// The app's name in the configuration
    #[arg(long)]
    pub(super) app: String,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) description: String,
    /// Only with this method, such as GET; may be repeated
    #[arg(long = "method", value_name = "METHOD")]
    pub(super) methods: Vec<String>,
    /// May open WebSockets, too, where --method limits it; without --method it may anyway
    #[arg(long)]
    pub(super) websocket: bool,
    /// Only with paths that match, such as /data/**; may be repeated
    #[arg(long = "path", value_name = "GLOB")]
    pub(super) paths: Vec<String>,
    /// Only from this network, such as 10.0.0.0/8; may be repeated
    #[arg(long = "network", value_name = "CIDR")]
    pub(super) networks: Vec<String>,
    /// How long it works, such as 30days; at most a year [default: 365days]
    #[arg(long = "expires", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) lifetime: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token that lets a program in for a user; it is printed this once
    Create(TokenCreateArgs),
    /// List tokens, newest first
    List {
        /// Only this user's
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Revoke a token, on every node within a second
    Revoke {
        /// Its id, as `list` shows it
        id: TokenId,
    },
    /// Print the SHA-256 of a token of an app's, for `apps.tokens` in the configuration
    Hash {
        /// Read the token from standard input, up to the end of the line
        #[arg(long, required = true)]
        stdin: bool,
    },
}

/// What commands on state share; it may stand before or after the sub-command.
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "VESTIBULE_CONFIG", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(subcommand)]
    pub(super) command: UserCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; without a password, print a one-time link to set one
    Add(AddArgs),
    /// List all users
    List,
    /// Show a user with second factor, recovery codes and sessions
    Show {
        /// Login name
        name: String,
    },
    /// Keep a user from signing in, and end the user's sessions
    Disable {
        /// Login name
        name: String,
    },
    /// Let a disabled user sign in again
    Enable {
        /// Login name
        name: String,
    },
    /// Remove a user with factors and recovery codes, and end the user's sessions
    Remove {
        /// Login name
        name: String,
    },
    /// Set a new password, and end the user's sessions
    SetPassword {
        /// Login name
        name: String,
        /// Read the password from standard input, up to the end of the line
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Forget a user's wrong codes: an authenticator suspended because of them counts again
    LiftSuspension {
        /// Login name
        name: String,
    },
    /// Say who a user is at an app that checks passwords itself
    Link(LinkArgs),
    /// Take that back, and end the user's sessions
    Unlink {
        /// Login name
        name: String,
        /// The app's name in the configuration
        #[arg(long)]
        app: String,
    },
    /// Print a one-time link to enrol a (new) second factor; it replaces any link made before
    Ticket(TicketArgs),
    /// Take a user's second factor and recovery codes away, end the user's sessions, and print a
    /// one-time link to enrol anew
    #[command(name = "reset-2fa")]
    ResetSecondFactor(ResetArgs),
}

#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    /// Login name
    pub(super) name: String,
    /// The app's name in the configuration
    #[arg(long)]
    pub(super) app: String,
    /// The app's own id of the person; at CellEngine the userId
    #[arg(long, value_name = "ID")]
    pub(super) subject: Subject,
}

#[derive(Debug, Args)]
pub(super) struct TicketArgs {
    /// Login name
    pub(super) name: String,
    /// Let the link set a new password as well; whoever holds it then needs nothing else
    #[arg(long, conflicts_with = "password_only")]
    pub(super) password: bool,
    /// Let the link set a new password and leave the second factor as it is
    #[arg(long)]
    pub(super) password_only: bool,
    #[command(flatten)]
    pub(super) expires: ExpiresArgs,
}

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// Login name
    pub(super) name: String,
    /// Why; it is kept with the event
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) expires: ExpiresArgs,
}

/// How long a link works.
#[derive(Debug, Args)]
pub(super) struct ExpiresArgs {
    /// How long the link works, such as 2h; at most 7days [default: tickets.lifetime, 24h]
    #[arg(long = "expires", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) lifetime: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Login name
    pub(super) name: String,
    /// Where the person gets mail
    #[arg(long)]
    pub(super) email: Option<String>,
    /// What the person is called; the login name where it is not set
    #[arg(long)]
    pub(super) display_name: Option<String>,
    /// A group the person belongs to; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(super) groups: Vec<String>,
    /// Read the password from standard input, up to the end of the line; otherwise a one-time link
    /// to set it is printed
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(subcommand)]
    pub(super) command: SessionCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List sessions, newest first
    List {
        /// Only this user's
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// End one session, a user's, or all
    End(EndArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct EndArgs {
    /// The session with this id
    pub(super) id: Option<SessionId>,
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// All sessions there are
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(subcommand)]
    pub(super) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List security events, newest first
    List(AuditListArgs),
    /// Check every row against its hash and the rows around it; exit 1 when something was changed,
    /// removed or inserted
    Verify {
        /// The last row as an earlier `verify` printed it, kept where nobody can change it: proves
        /// that nothing up to that row was undone
        #[arg(long, value_name = "ROW:HASH")]
        noted: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct AuditListArgs {
    /// Only this user's, also of one who was removed
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// Only from then on: a date, a time, or how long ago (7d)
    #[arg(long, value_name = "WHEN")]
    pub(super) since: Option<String>,
    /// Only this event, such as signed_in
    #[arg(long, value_name = "EVENT")]
    pub(super) event: Option<String>,
    /// No more than this many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(super) limit: u32,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_one_another() {
        Cli::command().debug_assert();
    }
}
