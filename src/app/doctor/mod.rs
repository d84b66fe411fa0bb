//! The checks of `vestibule doctor`: a running installation as clients see it, and the parts behind
//! it. They change nothing.

mod around;
mod ask;
mod clocks;
mod echo;
mod hosts;
mod nodes;
mod related;

use std::net::SocketAddr;
use std::path::PathBuf;

use self::ask::Client;
use self::clocks::Clocks;
use super::error::AppError;
use super::findings::Findings;
use super::online::{Online, Tried, check_online};
use crate::base::random::{OsRandom, bytes};
use crate::base::secret::Secret;
use crate::config::settings::Settings;
use crate::notice;

/// Options of an examination.
#[derive(Debug, Default)]
pub struct Examination {
    /// Address of the gateway for https. `None` for what DNS says, and the port of `public_url`.
    pub at: Option<SocketAddr>,
    /// Address for plain http. `None` for what DNS says, and port 80.
    pub at_plain: Option<SocketAddr>,
    /// PEM file with the CA of the hosts' certificates. `None` for the system's CAs.
    pub ca: Option<PathBuf>,
    /// Addresses at which no app may answer this machine.
    pub around: Vec<String>,
    /// Admin listeners of the nodes. Empty for the one in the configuration.
    pub nodes: Vec<String>,
    /// URL of a page of an app that shows the headers of its request.
    pub echo: Option<String>,
    /// Access token for that page.
    pub token: Option<Secret>,
}

/// Examines the installation. Returns an error only if the examination cannot begin.
pub async fn examine(settings: &Settings, options: &Examination) -> Result<Online, AppError> {
    let client = Client::new(options.ca.as_deref()).map_err(AppError::Other)?;
    let marker: [u8; 8] =
        bytes(&OsRandom::new()).map_err(|error| AppError::Other(error.to_string()))?;
    let marker = data_encoding::HEXLOWER.encode(&marker);
    let mut clocks = Clocks::default();
    let mut all = hosts::examine(settings, options, &client, &marker, &mut clocks).await;
    if let Some(found) = related::examine(settings, options.at, &client).await {
        all.push(Tried::of("related origins", found));
    }
    if let Some(url) = &options.echo {
        let found = echo::examine(settings, options, url, &client, &marker).await;
        all.push(Tried::of("forged headers", found));
    }
    for address in &options.around {
        let found = around::examine(settings, address, &client).await;
        all.push(Tried::of(format!("around {address}"), found));
    }
    nodes::examine(settings, &options.nodes, &client, &mut clocks, &mut all).await;
    all.push(Tried::of("clocks", clocks.findings()));
    if let Some(mail) = &settings.mail {
        let problems = match notice::try_connect(mail).await {
            Ok(()) => Vec::new(),
            Err(why) => vec![format!("mail server {}:{}: {why}", mail.host, mail.port)],
        };
        all.push(Tried::of("mail", Findings { problems, ..Findings::default() }));
    }
    all.extend(check_online(settings).await.0);
    Ok(Online(all))
}
