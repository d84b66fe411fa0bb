//! Certificates, selected by SNI and reloaded when their files change.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::base::clock::Timestamp;
use crate::proxy::settings::CertificateFiles;

/// Interval between two checks of the files.
const WATCH: Duration = Duration::from_secs(5);

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate {path} cannot be used: {reason}")]
pub struct BadCertificate {
    path: String,
    reason: String,
}

/// The files, with their times of modification and sizes.
type Stamps = (Arc<Vec<CertificateFiles>>, Vec<Option<(SystemTime, u64)>>);
type ByName = HashMap<String, Arc<CertifiedKey>>;

#[derive(Debug, Default)]
struct Loaded {
    by_name: ByName,
    first: Option<Arc<CertifiedKey>>,
    /// The file of each certificate, and the end of its validity in Unix time.
    expiries: Vec<(String, i64)>,
}

/// The certificates in use.
pub(in crate::proxy) struct Certificates {
    files: ArcSwap<Vec<CertificateFiles>>,
    loaded: ArcSwap<Loaded>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, BadCertificate> {
    let bad =
        |path: &Path, reason: String| BadCertificate { path: path.display().to_string(), reason };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(&files.cert, e.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|e| bad(&files.key, e.to_string()))?;
    let signer = any_supported_type(&key).map_err(|e| bad(&files.key, e.to_string()))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|e| bad(&files.cert, e.to_string()))?;
    Ok(certified)
}

/// Returns the end of a certificate's validity in Unix time.
fn expiry(certified: &CertifiedKey) -> Option<i64> {
    let (_, parsed) = parse_x509_certificate(certified.cert.first()?).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// Returns the DNS names of a certificate, in lower case.
fn names(certified: &CertifiedKey) -> Vec<String> {
    let Some(leaf) = certified.cert.first() else { return Vec::new() };
    let Ok((_, parsed)) = parse_x509_certificate(leaf) else { return Vec::new() };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| {
            if let GeneralName::DNSName(dns) = name { Some(dns.to_ascii_lowercase()) } else { None }
        })
        .collect()
}

fn load(files: &[CertificateFiles]) -> Result<Loaded, BadCertificate> {
    let mut loaded = Loaded::default();
    for pair in files {
        let certified = Arc::new(read(pair)?);
        if let Some(end) = expiry(&certified) {
            loaded.expiries.push((pair.cert.display().to_string(), end));
        }
        for name in names(&certified) {
            loaded.by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
        }
        loaded.first.get_or_insert(certified);
    }
    Ok(loaded)
}

/// Returns a sentence for each certificate that is expired at `now` or not valid yet. Skips
/// unreadable files, which other checks report.
pub fn out_of_date(files: &[CertificateFiles], now: Timestamp) -> Vec<String> {
    let chains = files.iter().filter_map(|files| {
        let chain = CertificateDer::pem_file_iter(&files.cert).ok()?;
        Some((&files.cert, chain.filter_map(Result::ok).collect::<Vec<_>>()))
    });
    let each = chains.flat_map(|(path, chain)| {
        chain.into_iter().enumerate().map(move |(place, certificate)| (path, place, certificate))
    });
    each.filter_map(|(path, place, certificate)| {
        let wrong = dates(&certificate, now)?;
        let which = if place == 0 { String::new() } else { format!(" (number {})", place + 1) };
        Some(format!("the certificate in {}{which} {wrong}", path.display()))
    })
    .collect()
}

fn dates(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let moment = |seconds: i64| {
        Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    };
    let (from, until) = (
        moment(parsed.validity().not_before.timestamp()),
        moment(parsed.validity().not_after.timestamp()),
    );
    if now > until {
        return Some(format!("expired at {}: browsers reject it", until.rfc3339()));
    }
    (now < from).then(|| format!("is not valid until {}: browsers reject it", from.rfc3339()))
}

impl Certificates {
    /// Loads all files.
    pub(in crate::proxy) fn load(files: &[CertificateFiles]) -> Result<Arc<Self>, BadCertificate> {
        let loaded = ArcSwap::from_pointee(load(files)?);
        Ok(Arc::new(Self { files: ArcSwap::from_pointee(files.to_vec()), loaded }))
    }

    /// Loads new certificate files and returns a function that activates them. On failure the
    /// current ones stay in use.
    pub(in crate::proxy) fn replacement(
        self: &Arc<Self>,
        files: &[CertificateFiles],
    ) -> Result<impl FnOnce() + use<>, BadCertificate> {
        let (loaded, files) = (Arc::new(load(files)?), Arc::new(files.to_vec()));
        let this = Arc::clone(self);
        Ok(move || {
            // If the watcher restores the former certificates at this moment, its next check finds
            // other files and loads them.
            this.files.store(files);
            this.loaded.store(loaded);
        })
    }

    /// Returns a TLS configuration that selects a certificate at each handshake.
    pub(in crate::proxy) fn server_config(
        self: &Arc<Self>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        Ok(Arc::new(config))
    }

    /// Renders the metrics of the certificates in use, in the text format of Prometheus.
    pub(in crate::proxy) fn metrics(&self) -> String {
        const NAME: &str = "vestibule_certificate_expiry_timestamp_seconds";
        let loaded = self.loaded.load();
        let sample = |(file, end): &(String, i64)| {
            let file = file.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{NAME}{{file=\"{file}\"}} {end}\n")
        };
        let samples: String = loaded.expiries.iter().map(sample).collect();
        let help = "End of a certificate's validity, in Unix time.";
        format!("# HELP {NAME} {help}\n# TYPE {NAME} gauge\n{samples}")
    }

    fn stamps(&self) -> Stamps {
        let stamp = |path: &Path| -> io::Result<(SystemTime, u64)> {
            let meta = fs::metadata(path)?;
            Ok((meta.modified()?, meta.len()))
        };
        let files = self.files.load_full();
        let stamps = files.iter().flat_map(|f| [stamp(&f.cert).ok(), stamp(&f.key).ok()]).collect();
        (files, stamps)
    }

    /// Reloads the files whenever they change. A pair that does not load leaves the former one in
    /// use.
    pub(in crate::proxy) async fn watch(self: Arc<Self>) {
        let mut seen = self.stamps();
        let mut ticks = tokio::time::interval(WATCH);
        loop {
            ticks.tick().await;
            let (this, known) = (Arc::clone(&self), seen.clone());
            // A disk may be slow, or hang.
            let look = tokio::task::spawn_blocking(move || this.reload_changed(&known));
            match look.await {
                Ok(now) => seen = now,
                Err(error) => tracing::error!(%error, "failed to look for changed certificates"),
            }
        }
    }

    /// Reloads the files if they are not as `seen`. Returns how they are now.
    fn reload_changed(&self, seen: &Stamps) -> Stamps {
        let now = self.stamps();
        if now != *seen {
            match load(&now.0) {
                Ok(loaded) => {
                    self.loaded.store(Arc::new(loaded));
                    tracing::info!("certificates reloaded");
                }
                Err(error) => {
                    tracing::error!(%error, "failed to reload changed certificates; the former ones stay in use");
                }
            }
        }
        now
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.loaded.load();
        let Some(name) = hello.server_name() else { return loaded.first.clone() };
        let name = name.to_ascii_lowercase();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            loaded.by_name.get(&format!("*.{parent}"))
        };
        loaded.by_name.get(&name).or_else(wildcard).cloned().or_else(|| loaded.first.clone())
    }
}
