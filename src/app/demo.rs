//! `vestibule demo`: a sample app behind the gateway, with a generated certificate and one user.

mod codes;
mod listen;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;

use self::codes::CodePrinter;
use self::listen::in_url;
pub use self::listen::{ListenOn, NotAHostAndPort};
use super::base::{Base, make_private_dir};
use super::error::AppError;
use super::open_admin;
use super::serve::Gateway;
use crate::auth::account::NewName;
use crate::auth::admin::{AdminError, NewUser};
use crate::base::random::{OsRandom, bytes};
use crate::base::secret::Secret;
use crate::config::Config;

/// Login name of the demo's only user.
const USER: &str = "alice";

/// Options of the demo.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Directory for the demo's data. `None`: a temporary directory, removed at the end.
    pub dir: Option<PathBuf>,
    /// Address to listen on.
    pub listen: ListenOn,
    /// True to print the demo user's one-time codes.
    pub print_codes: bool,
}

/// Runs the demo until Ctrl-C.
pub async fn demo(options: DemoOptions, out: &mut (dyn Write + Send)) -> Result<(), AppError> {
    let fresh = options.dir.is_none();
    let dir = match options.dir {
        Some(dir) => dir,
        None => fresh_dir()?,
    };
    let result = run(&dir, (&options.listen, options.print_codes), out).await;
    if fresh && let Err(error) = std::fs::remove_dir_all(&dir) {
        tracing::warn!(%error, dir = %dir.display(), "failed to remove the demo's directory");
    }
    result
}

fn fresh_dir() -> Result<PathBuf, AppError> {
    let tag: [u8; 10] = bytes(&OsRandom::new()).map_err(|e| AppError::Other(e.to_string()))?;
    let name = format!("vestibule-demo-{}", BASE32_NOPAD.encode(&tag).to_lowercase());
    Ok(std::env::temp_dir().join(name))
}

async fn run(
    dir: &Path,
    (listen, print_codes): (&ListenOn, bool),
    out: &mut (dyn Write + Send),
) -> Result<(), AppError> {
    let resolved = listen.resolve().await;
    let address = resolved.map_err(AppError::io(format!("failed to listen on {listen}")))?;
    make_private_dir(dir)?;
    let sample = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(AppError::io("failed to start the sample app"))?;
    let upstream = sample.local_addr().map_err(AppError::io("failed to start the sample app"))?;
    let host = listen.host();
    let certificate = make_certificate(dir, &host)?;
    let file = dir.join("vestibule.toml");
    std::fs::write(&file, config_text((address, &host), &certificate, upstream))
        .map_err(AppError::io(format!("failed to write {}", file.display())))?;
    let settings = Config::load(&file).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        AppError::Other(lines.join("\n"))
    })?;
    let _log = crate::telemetry::logs::init(settings.log);
    let mut offered = None;
    let gateway = Gateway::bind(settings.clone(), |stores| {
        offered = print_codes.then(|| codes::watch_offers(stores));
    });
    let gateway = Box::pin(gateway).await?;
    // The ports are bound first: if one is taken, no user remains whose password was never printed.
    let password = add_user(&settings).await?;
    let port = gateway.port().unwrap_or_else(|| address.port());
    let url = format!("https://{}:{port}", in_url(&host));
    let said = greet(out, (&url, dir), password.as_ref(), print_codes);
    said.map_err(AppError::io("failed to write to standard output"))?;
    tokio::spawn(super::sample::serve(sample));
    let Some(offered) = offered else { return gateway.run().await };
    let base = Base::open(&settings)?;
    let stores = super::stores::Stores::open(&settings, &base).await?;
    let keys = Arc::clone(&base.keys);
    let (accounts, authenticators) = (stores.accounts, stores.authenticators);
    let printer = CodePrinter { user: USER, keys, accounts, authenticators, offered };
    tokio::select! {
        done = gateway.run() => done,
        failed = printer.run(out) => Err(failed),
    }
}

/// Files of a certificate.
struct CertificateFiles {
    cert: String,
    key: String,
}

/// Creates a self-signed certificate for this machine, and for `host` if that is another name. A
/// certificate for the same names from an earlier run is kept, because browsers may trust it.
fn make_certificate(dir: &Path, host: &str) -> Result<CertificateFiles, AppError> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let stem = if names.iter().any(|name| name == host) {
        "demo".to_owned()
    } else {
        names.push(host.to_owned());
        format!("demo-{}", host.replace(':', "_"))
    };
    let files = CertificateFiles { cert: format!("{stem}.pem"), key: format!("{stem}.key") };
    let (cert, key) = (dir.join(&files.cert), dir.join(&files.key));
    if cert.exists() && key.exists() {
        return Ok(files);
    }
    let failed = |e: rcgen::Error| AppError::Other(format!("failed to create a certificate: {e}"));
    let pair = KeyPair::generate().map_err(failed)?;
    let made = CertificateParams::new(names).and_then(|p| p.self_signed(&pair)).map_err(failed)?;
    std::fs::write(&cert, made.pem()).map_err(AppError::io("failed to write the certificate"))?;
    write_private(&key, &pair.serialize_pem())?;
    Ok(files)
}

fn write_private(path: &Path, text: &str) -> Result<(), AppError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(AppError::io(format!("failed to write {}", path.display())))
}

fn config_text(
    (listen, host): (SocketAddr, &str),
    certificate: &CertificateFiles,
    upstream: SocketAddr,
) -> String {
    let CertificateFiles { cert, key } = certificate;
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
    if !hosts.contains(&in_url(host)) {
        hosts.insert(0, in_url(host));
    }
    let hosts: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    let hosts = hosts.join(", ");
    format!(
        r#"# Written by `vestibule demo`.
data_dir = "data"

[[listeners]]
address = "{listen}"
kind = "https"

[[certificates]]
cert = "{cert}"
key = "{key}"

[admin]
address = "127.0.0.1:0"

[[apps]]
name = "sample"
title = "Sample app"
hosts = [{hosts}]
upstreams = ["http://{upstream}"]
websocket = true

[[apps.rules]]
path = "/public/**"
access = "public"
"#
    )
}

/// Adds the demo's user and returns the new password, or `None` if the user exists from an earlier
/// run.
async fn add_user(
    settings: &crate::config::settings::Settings,
) -> Result<Option<Secret>, AppError> {
    let raw: [u8; 10] = bytes(&OsRandom::new()).map_err(|e| AppError::Other(e.to_string()))?;
    let password = Secret::new(BASE32_NOPAD.encode(&raw).to_lowercase());
    let name = NewName::parse(USER).map_err(|e| AppError::Other(e.to_string()))?;
    let user = NewUser {
        name,
        email: Some("alice@example.com".to_owned()),
        display_name: Some("Alice Example".to_owned()),
        groups: vec!["scientists".to_owned()],
        password: Some(password.clone()),
    };
    match open_admin(settings).await?.0.accounts.add(user).await {
        Ok(_) => Ok(Some(password)),
        Err(AdminError::NameTaken(_)) => Ok(None),
        Err(error) => Err(AppError::Other(error.to_string())),
    }
}

fn greet(
    out: &mut (dyn Write + Send),
    (url, dir): (&str, &Path),
    password: Option<&Secret>,
    print_codes: bool,
) -> std::io::Result<()> {
    writeln!(out, "Vestibule demo: a sample app behind two factors.")?;
    writeln!(out)?;
    writeln!(out, "  open      {url}")?;
    writeln!(out, "  user      {USER}")?;
    match password {
        Some(password) => writeln!(out, "  password  {}", password.reveal())?,
        None => writeln!(out, "  password  the one printed when this directory was first used")?,
    }
    writeln!(out, "  data      {}", dir.display())?;
    writeln!(out)?;
    writeln!(out, "The certificate is self-signed, so your browser warns you once.")?;
    if print_codes {
        writeln!(out, "The one-time codes of {USER} appear below when the sign-in asks for one;")?;
        writeln!(out, "no authenticator app is needed. Ctrl-C ends the demo.")?;
    } else {
        writeln!(out, "Signing in takes an authenticator app on a phone; without one, start the")?;
        writeln!(out, "demo with --print-codes. Ctrl-C ends the demo.")?;
    }
    writeln!(out)?;
    out.flush()
}
