//! Pingora with nothing on top: what the gateway is measured against. It forwards every request to
//! one address, plain and over TLS with HTTP/2, and does nothing else.
//!
//! `bare_pingora BACKEND HTTP HTTPS CERT KEY [--work-stealing]`: three addresses and two PEM
//! files. One worker thread, the allocator and the build profile of the gateway. Without work
//! stealing Pingora is the faster, so this is the harder measure and the default.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: bare_pingora BACKEND HTTP HTTPS CERT KEY [--work-stealing]";

/// Forwards everything to one address.
struct Bare {
    backend: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.backend, false, String::new())))
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (named, work_stealing) = match arguments.split_last() {
        Some((last, rest)) if last == "--work-stealing" => (rest, true),
        Some(_) | None => (arguments.as_slice(), false),
    };
    let [backend, http, https, cert, key] = named else { return Err(USAGE.into()) };
    let conf = ServerConf {
        threads: 1,
        work_stealing,
        upstream_keepalive_pool_size: 256,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let bare = Bare { backend: backend.parse()? };
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(http);
    let mut tls = TlsSettings::intermediate(cert, key)?;
    tls.enable_h2();
    service.add_tls_with_settings(https, None, tls);
    server.add_service(service);
    server.run(RunArgs::default());
    Ok(())
}
