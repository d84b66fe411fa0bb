//! The load of `benches/*.sh`: signs accounts in, sends requests at a fixed rate, floods the login,
//! moves large bodies, and is the app behind where one is needed. It knows only the outside of the
//! gateway; every command is bounded in time or count, or ends with its parent's signal.

#[path = "../../support/mod.rs"]
mod support;

mod app;
mod flood;
mod paced;
mod report;
mod transfer;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use support::Failure;

/// Load for the benches, on loopback.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Signs in accounts that were never enrolled; one Cookie header a line.
    SignIn {
        /// The plain listener of the gateway.
        #[arg(long)]
        gateway: SocketAddr,
        /// The host that is asked for.
        #[arg(long, default_value = "localhost")]
        host: String,
        /// The accounts; their common password is read from standard input.
        names: Vec<String>,
    },
    /// Requests at a fixed rate, whatever the answers take (open loop); latency from the time at
    /// which each was due.
    Paced {
        #[command(flatten)]
        target: Target,
        /// Requests a second.
        #[arg(long, default_value_t = 500)]
        rate: u32,
        /// Seconds.
        #[arg(long, default_value_t = 15)]
        seconds: u32,
        /// Connections they are spread over.
        #[arg(long, default_value_t = 64)]
        connections: usize,
    },
    /// Wrong logins as fast as they are answered.
    Flood {
        /// The plain listener of the gateway.
        #[arg(long)]
        gateway: SocketAddr,
        /// The host that is asked for.
        #[arg(long, default_value = "localhost")]
        host: String,
        /// Clients at once.
        #[arg(long, default_value_t = 200)]
        clients: usize,
        /// Seconds.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// The app behind: hashes what is sent to it, sends what it is asked for.
    App {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// One large upload and one large download, hashed at both ends.
    Transfer {
        #[command(flatten)]
        target: Target,
        /// Bytes each way.
        #[arg(long, default_value_t = 2 << 30)]
        bytes: u64,
    },
}

/// Who is asked, and as whom.
#[derive(Debug, clap::Args)]
struct Target {
    /// The plain listener.
    #[arg(long)]
    to: SocketAddr,
    /// The host that is asked for.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// A file with one Cookie header a line, used in turn.
    #[arg(long)]
    cookies: PathBuf,
}

impl Target {
    fn cookies(&self) -> Result<Vec<String>, Failure> {
        let text = std::fs::read_to_string(&self.cookies)?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return Err("the file of cookies is empty".into());
        }
        Ok(lines)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let said = match Arguments::parse().command {
        Command::SignIn { gateway, host, names } => {
            let mut password = String::new();
            std::io::stdin().read_to_string(&mut password)?;
            let mut lines = Vec::new();
            for name in &names {
                lines.push(support::sign_in::sign_in(gateway, &host, name, &password).await?);
            }
            lines.join("\n")
        }
        Command::Paced { target, rate, seconds, connections } => {
            paced::run(&target, paced::Pace { rate, seconds, connections }).await?
        }
        Command::Flood { gateway, host, clients, seconds } => {
            flood::run(gateway, &host, clients, seconds).await?
        }
        Command::App { listen } => app::run(listen).await?,
        Command::Transfer { target, bytes } => transfer::run(&target, bytes).await?,
    };
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}
