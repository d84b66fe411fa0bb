//! TLS for connections to an app outside Pingora, with the same trust and client certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::proxy::settings::UpstreamSettings;

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Loads the certificates and the key. Returns the reason as text on failure.
pub(in crate::proxy) fn client_config(upstream: &UpstreamSettings) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &upstream.ca {
        Some(path) => {
            for certificate in chain(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match &upstream.client_certificate {
        None => Ok(builder.with_no_client_auth()),
        Some(files) => {
            let key = PrivateKeyDer::from_pem_file(&files.key)
                .map_err(|error| format!("{}: {error}", files.key.display()))?;
            builder
                .with_client_auth_cert(chain(&files.cert)?, key)
                .map_err(|error| error.to_string())
        }
    }
}
