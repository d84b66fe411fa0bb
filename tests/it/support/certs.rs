//! A certificate authority of our own for one test, and the only one its clients accept.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

/// Files with a chain and its key, and clients that trust their authority.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// The chain.
    pub(crate) cert: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
    /// The certificate of the authority.
    pub(crate) authority: PathBuf,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Certificates {
    /// Makes a certificate for `names` in `dir`.
    pub(crate) fn make(dir: &Path, names: &[&str]) -> Self {
        Self::make_for(dir, names, 1975..4096)
    }

    /// Makes a certificate for `names` in `dir` that holds in these years.
    pub(crate) fn make_for(dir: &Path, names: &[&str], years: Range<i32>) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority.distinguished_name.push(DnType::CommonName, "Test authority");
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.not_before = date_time_ymd(years.start, 1, 1);
        leaf.not_after = date_time_ymd(years.end, 1, 1);
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let (cert_file, key_file) = (dir.join("server.pem"), dir.join("server.key"));
        std::fs::write(&cert_file, leaf.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        let authority = dir.join("authority.pem");
        std::fs::write(&authority, issuer.pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            cert: cert_file,
            key: key_file,
            authority,
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    /// A server that shows the certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    /// A client that offers one protocol by ALPN: `http/1.1` or `h2`.
    pub(crate) fn client(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut config = self.client.as_ref().clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }
}
