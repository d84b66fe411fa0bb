//! `vestibule demo`: a sample app, the gateway in front of it, a certificate made at start, and
//! one user.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;

use super::{AppError, make_private_dir, open_admin};
use crate::auth::account::LoginName;
use crate::auth::admin::{AdminError, NewUser};
use crate::base::random::{OsRandom, bytes};
use crate::base::secret::Secret;
use crate::config::Config;

/// The demo's one user.
const USER: &str = "alice";

/// What the demo may be told.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Where its data is kept; a fresh directory, removed at the end, when absent.
    pub dir: Option<PathBuf>,
    /// Where it listens; `127.0.0.1:8443` when absent.
    pub listen: Option<SocketAddr>,
}

/// Runs the demo until Ctrl-C.
pub async fn demo(options: DemoOptions, out: &mut (dyn Write + Send)) -> Result<(), AppError> {
    let fresh = options.dir.is_none();
    let dir = match options.dir {
        Some(dir) => dir,
        None => fresh_dir()?,
    };
    let result = run(&dir, options.listen, out).await;
    if fresh && let Err(error) = std::fs::remove_dir_all(&dir) {
        tracing::warn!(%error, dir = %dir.display(), "the demo's directory was not removed");
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
    listen: Option<SocketAddr>,
    out: &mut (dyn Write + Send),
) -> Result<(), AppError> {
    let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)));
    make_private_dir(dir)?;
    let sample = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(AppError::io("cannot start the sample app"))?;
    let upstream = sample.local_addr().map_err(AppError::io("cannot start the sample app"))?;
    make_certificate(dir)?;
    let file = dir.join("vestibule.toml");
    std::fs::write(&file, config_text(listen, upstream))
        .map_err(AppError::io(format!("cannot write {}", file.display())))?;
    let settings = Config::load(&file).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        AppError::Other(lines.join("\n"))
    })?;
    crate::telemetry::logs::init(settings.log);
    let password = add_user(&settings).await?;
    let said = greet(out, listen, dir, password.as_ref());
    said.map_err(AppError::io("cannot write to standard output"))?;
    tokio::spawn(super::sample::serve(sample));
    super::serve(settings).await
}

/// A certificate for this machine, signed by nobody.
fn make_certificate(dir: &Path) -> Result<(), AppError> {
    let (cert, key) = (dir.join("demo.pem"), dir.join("demo.key"));
    if cert.exists() && key.exists() {
        return Ok(());
    }
    let failed = |e: rcgen::Error| AppError::Other(format!("cannot make a certificate: {e}"));
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let pair = KeyPair::generate().map_err(failed)?;
    let made = CertificateParams::new(names).and_then(|p| p.self_signed(&pair)).map_err(failed)?;
    std::fs::write(&cert, made.pem()).map_err(AppError::io("cannot write the certificate"))?;
    write_private(&key, &pair.serialize_pem())
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
        .map_err(AppError::io(format!("cannot write {}", path.display())))
}

fn config_text(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"# Written by `vestibule demo`.
data_dir = "data"

[[listeners]]
address = "{listen}"
kind = "https"

[[certificates]]
cert = "demo.pem"
key = "demo.key"

[admin]
address = "127.0.0.1:0"

[[apps]]
name = "sample"
title = "Sample app"
hosts = ["localhost", "127.0.0.1", "[::1]"]
upstreams = ["http://{upstream}"]
websocket = true

[[apps.rules]]
path = "/public/**"
access = "public"
"#
    )
}

/// The user's new password; nothing when the user is there from an earlier run.
async fn add_user(
    settings: &crate::config::settings::Settings,
) -> Result<Option<Secret>, AppError> {
    let raw: [u8; 10] = bytes(&OsRandom::new()).map_err(|e| AppError::Other(e.to_string()))?;
    let password = Secret::new(BASE32_NOPAD.encode(&raw).to_lowercase());
    let name = LoginName::parse(USER).map_err(|e| AppError::Other(e.to_string()))?;
    let user = NewUser {
        name,
        email: Some("alice@example.com".to_owned()),
        display_name: Some("Alice Example".to_owned()),
        groups: vec!["scientists".to_owned()],
        password: Some(password.clone()),
    };
    match open_admin(settings).await?.0.add(user).await {
        Ok(_) => Ok(Some(password)),
        Err(AdminError::NameTaken(_)) => Ok(None),
        Err(error) => Err(AppError::Other(error.to_string())),
    }
}

fn greet(
    out: &mut (dyn Write + Send),
    listen: SocketAddr,
    dir: &Path,
    password: Option<&Secret>,
) -> std::io::Result<()> {
    writeln!(out, "Vestibule demo: a sample app behind two factors.")?;
    writeln!(out)?;
    writeln!(out, "  open      https://localhost:{}", listen.port())?;
    writeln!(out, "  user      {USER}")?;
    match password {
        Some(password) => writeln!(out, "  password  {}", password.reveal())?,
        None => writeln!(out, "  password  the one printed when this directory was first used")?,
    }
    writeln!(out, "  data      {}", dir.display())?;
    writeln!(out)?;
    writeln!(out, "The certificate was made just now and is signed by nobody: your browser will")?;
    writeln!(out, "warn you once. Have an authenticator app at hand. Ctrl-C ends the demo.")?;
    writeln!(out)?;
    out.flush()
}
