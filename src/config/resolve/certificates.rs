//! Checks of certificates: the files are valid, match each other and cover the hosts. Dates and
//! revocation are not checked, because a wrong clock must not keep the gateway down.

use std::path::Path;

use rustls::CertificateError;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::x509::X509Version;

use crate::config::key_path::KeyPath;
use crate::config::raw::RawCertificate;
use crate::config::reader::Reader;
use crate::proxy::settings::{
    AppSettings, CertificateFiles, HostPattern, ListenerKind, ListenerSettings, PortalSettings,
};

type Chain = Vec<CertificateDer<'static>>;

/// The hosts that certificates have to cover.
pub(super) struct Hosts<'a> {
    pub(super) apps: &'a [AppSettings],
    pub(super) portal: Option<&'a PortalSettings>,
}

/// Resolves the certificates.
pub(super) fn certificates(
    raw: &[RawCertificate],
    listeners: &[ListenerSettings],
    hosts: &Hosts<'_>,
    r: &mut Reader<'_>,
) -> Vec<CertificateFiles> {
    let at = KeyPath::of("certificates");
    let tls = listeners.iter().any(|l| l.kind == ListenerKind::Https);
    if tls && raw.is_empty() {
        r.fail(&at, "an https listener needs one: add [[certificates]] with cert and key");
    }
    let mut chains = Vec::new();
    let mut files = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let (cert_key, key_key) = (at.index(i).key("cert"), at.index(i).key("key"));
        if raw.cert.is_none() {
            r.fail(&cert_key, "is missing: name the PEM file with the certificate chain");
        }
        if raw.key.is_none() {
            r.fail(&key_key, "is missing: name the PEM file with the private key");
        }
        if let (Some(cert), Some(key)) = (&raw.cert, &raw.key) {
            let pair = CertificateFiles { cert: r.path(cert), key: r.path(key) };
            chains.extend(check_pair(&pair, &cert_key, &key_key, r));
            files.push(pair);
        }
    }
    // Check coverage only once all certificates are valid.
    if tls && !chains.is_empty() && chains.len() == raw.len() {
        uncovered(&chains, hosts, r);
    }
    files
}

/// Checks that the files contain a chain and its key. Returns the chain.
pub(super) fn check_pair(
    files: &CertificateFiles,
    cert_key: &KeyPath,
    key_key: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<Chain> {
    let chain = chain(&files.cert).map_err(|why| r.fail(cert_key, why)).ok();
    let key = private_key(&files.key).map_err(|why| r.fail(key_key, why)).ok();
    let (chain, key) = (chain?, key?);
    let provider: CryptoProvider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain.clone(), key, &provider) {
        Ok(_) => Some(chain),
        Err(rustls::Error::InconsistentKeys(_)) => {
            r.fail(
                key_key,
                format!(
                    "{} is not the key of the first certificate in {}: name the two that belong \
                     together",
                    files.key.display(),
                    files.cert.display()
                ),
            );
            None
        }
        Err(rustls::Error::InvalidCertificate(why)) => {
            let why = chain.first().map_or_else(String::new, |first| unusable(first, &why));
            r.fail(cert_key, format!("{} {why}", files.cert.display()));
            None
        }
        Err(_) => {
            r.fail(
                key_key,
                format!(
                    "{} holds a key of an unsupported kind: use ECDSA with P-256 or P-384, RSA with \
                     2048 to 4096 bits, or Ed25519",
                    files.key.display()
                ),
            );
            None
        }
    }
}

fn read(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
    std::fs::read(file)
        .map(zeroize::Zeroizing::new)
        .map_err(|e| format!("the file {} cannot be read: {e}", file.display()))
}

/// Reads the certificates of a PEM file. The error says what is wrong with it.
pub(super) fn chain(file: &Path) -> Result<Chain, String> {
    let chain = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<Chain, _>>()
        .map_err(|_quotes_the_file| format!("{} is not a valid PEM file", file.display()))?;
    let Some(first) = chain.first() else {
        return Err(format!(
            "{} holds no certificate: it should be PEM, with -----BEGIN CERTIFICATE-----",
            file.display()
        ));
    };
    match ParsedCertificate::try_from(first) {
        Ok(_) => Ok(chain),
        Err(rustls::Error::InvalidCertificate(why)) => {
            Err(format!("{} {}", file.display(), unusable(first, &why)))
        }
        Err(why) => Err(format!("{} cannot be used: {why}", file.display())),
    }
}

/// Returns the reason why a certificate cannot be used, to be written after the name of its file.
fn unusable(certificate: &CertificateDer<'_>, why: &CertificateError) -> String {
    match x509_parser::parse_x509_certificate(certificate) {
        Err(_) => "has a CERTIFICATE block that is no X.509 certificate, or part of one: copy the \
                   certificate again"
            .to_owned(),
        Ok((_, parsed)) if parsed.version() != X509Version::V3 => format!(
            "is a certificate of X.509 version {}, which cannot name its hosts: issue one of \
             version 3, with a subjectAltName",
            parsed.version().0.saturating_add(1)
        ),
        Ok(_) => format!("is a certificate that cannot be used: {why}"),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_quotes_the_file| {
        if memchr::memmem::find(&pem, b"ENCRYPTED").is_some() {
            return format!(
                "{} holds a key that a passphrase protects, for which the gateway cannot ask: \
                 decrypt it with `openssl pkey -in FILE -out FILE`",
                file.display()
            );
        }
        format!(
            "{} holds no private key: it should be PEM, with -----BEGIN PRIVATE KEY-----",
            file.display()
        )
    })
}

/// Warns about hosts that no certificate covers.
fn uncovered(chains: &[Chain], hosts: &Hosts<'_>, r: &mut Reader<'_>) {
    let leaves: Vec<ParsedCertificate<'_>> = chains
        .iter()
        .filter_map(|chain| ParsedCertificate::try_from(chain.first()?).ok())
        .collect();
    let is_covered = |name: &str| {
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let Ok(name) = ServerName::try_from(name) else { return true };
        leaves.iter().any(|c| rustls::client::verify_server_name(c, &name).is_ok())
    };
    let why = "no certificate names this host: browsers will reject the connection";
    for (i, app) in hosts.apps.iter().enumerate() {
        for (j, host) in app.hosts.iter().enumerate() {
            let covered = match host {
                HostPattern::Exact(name) => is_covered(name),
                HostPattern::Wildcard(suffix) => is_covered(&format!("any-label{suffix}")),
            };
            if !covered {
                r.warn(&KeyPath::of("apps").index(i).key("hosts").index(j), why);
            }
        }
    }
    if hosts.portal.is_some_and(|portal| !is_covered(&portal.host)) {
        r.warn(&KeyPath::of("portal").key("host"), why);
    }
}
