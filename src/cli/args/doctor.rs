//! Arguments of `doctor`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    pub(in crate::cli) config: ConfigArgs,
    /// Print the results as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Connect here for https, instead of to the addresses in DNS
    #[arg(long, value_name = "IP:PORT")]
    pub(in crate::cli) at: Option<SocketAddr>,
    /// Connect here for plain http, instead of to port 80 of the addresses in DNS
    #[arg(long, value_name = "IP:PORT")]
    pub(in crate::cli) at_plain: Option<SocketAddr>,
    /// CA of the hosts' certificates (PEM) [default: the system's CAs]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// Address of an app that must not answer this machine; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(in crate::cli) around: Vec<String>,
    /// Admin listener of a node; may be repeated [default: admin.address]
    #[arg(long = "node", value_name = "HOST:PORT")]
    pub(in crate::cli) nodes: Vec<String>,
    /// Page of an app that shows the headers of its request: forged ones must not arrive
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) echo: Option<String>,
    /// File with an access token for that page
    #[arg(long, value_name = "FILE", requires = "echo")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}
