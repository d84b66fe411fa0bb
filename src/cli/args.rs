//! Command-line arguments, as parsed by clap.
#![expect(clippy::doc_markdown, reason = "the comments are the help, shown as plain text")]

mod audit;
mod backup;
mod config;
mod doctor;
mod set;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(super) use self::audit::{AuditArgs, AuditCommand, AuditListArgs};
pub(super) use self::backup::{BackupArgs, RestoreArgs};
pub(super) use self::config::{ConfigArgs, NoDefault, StateArgs, default_config};
pub(super) use self::doctor::DoctorArgs;
pub(super) use self::set::SetArgs;
use crate::app::ListenOn;
use crate::auth::app_sign_in::Subject;
use crate::base::address::ClientIp;
use crate::base::id::{FactorId, SessionId, TokenId};

/// A reverse-proxy authentication gateway: two factors, then your application.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or configuration.")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a demo: a sample app behind the gateway on https://localhost:8443, until Ctrl-C
    Demo(DemoArgs),
    /// Run the gateway
    Serve(ConfigArgs),
    /// Check a configuration and print the settings in effect
    Check(CheckArgs),
    /// Examine a running installation, as clients see it and from inside
    Doctor(DoctorArgs),
    /// Evaluate the access rules for a request and print the decision
    Explain(ExplainArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Compare configurations
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Create the key file, and add keys to it
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Add, change and remove users
    User(UserArgs),
    /// List and end sessions
    Session(SessionArgs),
    /// List and verify the audit log
    Audit(AuditArgs),
    /// Create, list and revoke access tokens for programs
    Token(TokenArgs),
    /// Back up the embedded accounts, while the gateway runs
    Backup(BackupArgs),
    /// Restore a backup of the embedded accounts, while no gateway runs
    Restore(RestoreArgs),
    /// Show why a request was rejected, by the reference in its response
    Why(WhyArgs),
    /// Print a shell completion script
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the manual, or write one page per subcommand
    Man {
        /// Write vestibule.1, vestibule-serve.1 and so on to this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// Returns the `--config` option of a command that reads a configuration.
    pub(super) fn config_mut(&mut self) -> Option<&mut Option<PathBuf>> {
        match self {
            Self::Serve(arguments) => Some(&mut arguments.config),
            Self::Config(ConfigCommand::Hash(arguments)) => Some(&mut arguments.config),
            Self::Check(arguments) => Some(&mut arguments.config.config),
            Self::Doctor(arguments) => Some(&mut arguments.config.config),
            Self::Explain(arguments) => Some(&mut arguments.state.config),
            Self::User(arguments) => Some(&mut arguments.state.config),
            Self::Session(arguments) => Some(&mut arguments.state.config),
            Self::Audit(arguments) => Some(&mut arguments.state.config),
            Self::Backup(arguments) => Some(&mut arguments.state.config),
            Self::Restore(arguments) => Some(&mut arguments.state.config),
            Self::Why(arguments) => Some(&mut arguments.state.config),
            Self::Token(TokenArgs { state, command }) => {
                let reads = !matches!(command, TokenCommand::Hash { .. });
                reads.then_some(&mut state.config)
            }
            Self::Demo(_)
            | Self::Schema
            | Self::Keys(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep the data in this directory; without it, a temporary one is removed at the end
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Address to listen on, such as localhost:8443 or 192.0.2.7:443 [default: localhost:8443]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<ListenOn>,
    /// Print the one-time codes of the demo user as they change, for when no phone is at hand
    #[arg(long)]
    pub(super) print_codes: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Also try Redis, SQL, certificates and upstreams
    #[arg(long)]
    pub(super) online: bool,
    /// Print only the results of --online, as JSON
    #[arg(long, requires = "online")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Request method, such as GET
    pub(super) method: String,
    /// URL, such as https://app.example.com/path; used as given, dot segments are not resolved
    pub(super) url: String,
    /// Evaluate for this user, signed in with both factors [default: not signed in]
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// Additional group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    pub(super) groups: Vec<String>,
    /// Only the password has been verified
    #[arg(long, requires = "user", conflicts_with = "second_factor_age")]
    pub(super) password_only: bool,
    /// Time since the second factor was verified, such as 10m [default: 0s]
    #[arg(long, value_name = "TIME", requires = "user", value_parser = humantime::parse_duration)]
    pub(super) second_factor_age: Option<Duration>,
    /// The second factor was a passkey or security key
    #[arg(long, requires = "user", conflicts_with_all = ["password_only", "by_token"])]
    pub(super) by_key: bool,
    /// Use an access token or app token of the user that allows the request
    #[arg(long, requires = "user", conflicts_with_all = ["password_only", "second_factor_age"])]
    pub(super) by_token: bool,
    /// Client address, or "unknown"
    #[arg(long, value_name = "IP", visible_alias = "network")]
    pub(super) address: Option<ClientIp>,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Reference, such as K7QX-3FZA, or request id
    pub(super) reference: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a hash of the settings in effect; nodes of a cluster have the same
    Hash(StateArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Create a key file (mode 0600); never overwrites one
    Init {
        /// Key file
        file: PathBuf,
    },
    /// Add a new key for reading to each ring; first step on several nodes, then reload all
    Add {
        /// Key file
        file: PathBuf,
    },
    /// Make the added keys write; second step, when every node has them
    Use {
        /// Key file
        file: PathBuf,
    },
    /// Add a new key to each ring and make it write at once, for a single node
    Rotate {
        /// Key file
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
    /// User the program acts for
    #[arg(long, value_name = "NAME")]
    pub(super) user: String,
    /// App name, as in the configuration
    #[arg(long)]
    pub(super) app: String,
    /// Description
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) description: String,
    /// Allowed method, such as GET; may be repeated [default: any]
    #[arg(long = "method", value_name = "METHOD")]
    pub(super) methods: Vec<String>,
    /// Also allows opening WebSockets when --method is given; without --method they are allowed
    #[arg(long)]
    pub(super) websocket: bool,
    /// Allowed path pattern, such as /data/**; may be repeated [default: any]
    #[arg(long = "path", value_name = "GLOB")]
    pub(super) paths: Vec<String>,
    /// Allowed client network, such as 10.0.0.0/8; may be repeated [default: any]
    #[arg(long = "network", value_name = "CIDR")]
    pub(super) networks: Vec<String>,
    /// Lifetime, such as 30days; at most a year [default: 365days]
    #[arg(long = "expires", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) lifetime: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create an access token for a program; it is printed only once
    Create(TokenCreateArgs),
    /// List tokens, newest first
    List {
        /// Only those of this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Revoke a token, on every node within a second
    Revoke {
        /// Token id, as shown by `list`
        id: TokenId,
    },
    /// Print the SHA-256 of an app token, for `apps.tokens` in the configuration
    Hash {
        /// Read the token from standard input, up to the end of the line
        #[arg(long, required = true)]
        stdin: bool,
    },
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
    /// Add a user; without a password, print a one-time set-up link
    Add(AddArgs),
    /// Change a user's email address, display name or groups; sessions see it within a second
    Set(SetArgs),
    /// List users
    List,
    /// Show a user, with second factor, recovery codes and sessions
    Show {
        /// Login name
        name: String,
    },
    /// Disable a user and end their sessions
    Disable {
        /// Login name
        name: String,
    },
    /// Enable a disabled user
    Enable {
        /// Login name
        name: String,
    },
    /// Remove a user with their factors and recovery codes, and end their sessions
    Remove {
        /// Login name
        name: String,
        /// Remove the user without asking. Only a terminal is asked
        #[arg(long)]
        yes: bool,
    },
    /// Set a user's password and end their sessions
    SetPassword {
        /// Login name
        name: String,
        /// Read the password from standard input, up to the end of the line
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Reset a user's failure counter and lift the suspension of their authenticator
    LiftSuspension {
        /// Login name
        name: String,
    },
    /// Link a user to their identity at an app that checks passwords itself
    Link(LinkArgs),
    /// Unlink a user from an app and end their sessions
    Unlink {
        /// Login name
        name: String,
        /// App name, as in the configuration
        #[arg(long)]
        app: String,
    },
    /// List a user's passkeys and security keys
    Keys {
        /// Login name
        name: String,
    },
    /// Remove a user's passkey or security key, and end their sessions
    RemoveKey(RemoveKeyArgs),
    /// Print a one-time link to set up a (new) second factor; it replaces any earlier link
    Ticket(TicketArgs),
    /// Remove a user's second factor and recovery codes, end their sessions, and print a one-time
    /// link to set up a new one
    #[command(name = "reset-2fa")]
    ResetSecondFactor(ResetArgs),
}

#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    /// Login name
    pub(super) name: String,
    /// App name, as in the configuration
    #[arg(long)]
    pub(super) app: String,
    /// User id at the app; at CellEngine, the userId
    #[arg(long, value_name = "ID")]
    pub(super) subject: Subject,
}

#[derive(Debug, Args)]
pub(super) struct TicketArgs {
    /// Login name
    pub(super) name: String,
    /// The link also sets a new password; it then needs no other proof
    #[arg(long, conflicts_with = "password_only")]
    pub(super) password: bool,
    /// The link sets a new password and keeps the second factor
    #[arg(long)]
    pub(super) password_only: bool,
    #[command(flatten)]
    pub(super) expires: ExpiresArgs,
}

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// Login name
    pub(super) name: String,
    /// Reason, recorded in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) expires: ExpiresArgs,
}

#[derive(Debug, Args)]
pub(super) struct RemoveKeyArgs {
    /// Login name
    pub(super) name: String,
    /// Id of the key, as `user keys` lists it
    pub(super) id: FactorId,
    /// Reason, recorded in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
}

/// Lifetime of a one-time link.
#[derive(Debug, Args)]
pub(super) struct ExpiresArgs {
    /// Lifetime of the link, such as 2h; at most 7days [default: tickets.lifetime, 24h]
    #[arg(long = "expires", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) lifetime: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Login name
    pub(super) name: String,
    /// Email address
    #[arg(long)]
    pub(super) email: Option<String>,
    /// Display name [default: the login name]
    #[arg(long)]
    pub(super) display_name: Option<String>,
    /// Group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(super) groups: Vec<String>,
    /// Read the password from standard input, up to the end of the line
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
        /// Only those of this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// End one session, a user's, or all
    End {
        #[command(flatten)]
        which: EndArgs,
        /// Also remove one-time links, with `--user` or `--all`: someone else may hold one, and
        /// after a restore of PostgreSQL used ones work again
        #[arg(long, conflicts_with = "id")]
        links: bool,
        /// End all sessions without asking. Only a terminal is asked
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct EndArgs {
    /// Session id
    pub(super) id: Option<SessionId>,
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// All sessions of all users
    #[arg(long)]
    pub(super) all: bool,
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
