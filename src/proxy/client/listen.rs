//! Listening sockets: binds them, accepts connections, and hands them to Pingora.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_proxy::HttpProxy;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::connection::{ClientStream, Connection};
use super::linger::{self, Lingering, OverTcp};
use super::load::Loads;
use super::open::Open;
use super::socket::ClientSocket;
use crate::base::address::ClientIp;
use crate::base::clock::Clock;
use crate::proxy::gateway::Gateway;
use crate::proxy::settings::{ListenerKind, ListenerSettings, NetworkSettings};

/// Deadline for a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
const BACKLOG: i32 = 1024;
/// Pause after a failed accept, for example without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The state that every accepted connection needs.
#[derive(Clone)]
pub(in crate::proxy) struct Acceptor {
    pub(in crate::proxy) proxy: Arc<HttpProxy<Gateway>>,
    pub(in crate::proxy) tls: Option<TlsAcceptor>,
    pub(in crate::proxy) network: Arc<NetworkSettings>,
    pub(in crate::proxy) open: Arc<Open>,
    pub(in crate::proxy) lingering: Arc<Lingering>,
    pub(in crate::proxy) loads: Arc<Loads>,
    pub(in crate::proxy) clock: Arc<dyn Clock>,
    pub(in crate::proxy) stopping: watch::Receiver<bool>,
    pub(in crate::proxy) draining: Arc<AtomicBool>,
}

/// Binds a listener.
pub(in crate::proxy) fn bind(settings: ListenerSettings) -> io::Result<TcpListener> {
    let domain = if settings.address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&settings.address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Acceptor {
    /// Accepts connections until draining begins.
    pub(in crate::proxy) async fn accept_all(
        self,
        listener: TcpListener,
        kind: ListenerKind,
        drain: Arc<Notify>,
    ) {
        let stop = drain.notified();
        tokio::pin!(stop);
        stop.as_mut().enable();
        loop {
            if self.draining.load(Ordering::Acquire) {
                return;
            }
            tokio::select! {
                () = &mut stop => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.admit(stream, peer, kind);
                        // Shed connections close before the next one is accepted.
                        if self.open.is_closing() {
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection");
                        self.open.out_of_descriptors();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, kind: ListenerKind) {
        let client = ClientIp::new(peer.ip());
        let trusted = client.is_in(&self.network.trusted_proxies);
        let load = self.loads.of(client);
        let connection = Arc::new(Connection::new(peer, kind, load, self.clock.monotonic()));
        let Some(entered) = self.open.enter(&connection, trusted) else {
            tracing::debug!(%client, "connection refused: too many");
            return;
        };
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(error) = this.serve(stream, connection).await {
                tracing::debug!(%peer, %error, "connection failed before its first request");
            }
            drop(entered);
        });
    }

    async fn serve(&self, stream: TcpStream, connection: Arc<Connection>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let fd = stream.as_raw_fd();
        match (connection.kind, &self.tls) {
            (ListenerKind::Https, Some(tls)) => {
                let shake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(ClientSocket(stream)));
                let tls = tokio::select! {
                    shaken = shake => shaken.map_err(|_elapsed| io::ErrorKind::TimedOut)??,
                    () = connection.closed() => return Err(io::ErrorKind::ConnectionAborted.into()),
                };
                let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                self.requests(tls, fd, h2, connection).await
            }
            (ListenerKind::Https, None) => Err(io::Error::other("no certificate is configured")),
            (ListenerKind::Http | ListenerKind::Redirect, _) => {
                self.requests(stream, fd, false, connection).await
            }
        }
    }

    /// Serves the requests of a connection, then closes it.
    async fn requests<S>(
        &self,
        io: S,
        fd: i32,
        h2: bool,
        connection: Arc<Connection>,
    ) -> io::Result<()>
    where
        S: OverTcp + AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let peer = connection.peer.ip();
        let (stream, slot) = ClientStream::new(io, fd, h2, Arc::clone(&connection))?;
        let stream: Stream = Box::new(stream);
        ServerApp::process_new(&self.proxy, stream, &self.stopping).await;
        let released = slot.lock().take();
        if let Some(released) = released {
            tokio::select! {
                // A shed connection sends close_notify before it closes.
                biased;
                () = linger::end(released, peer, &self.lingering) => {}
                () = connection.closed() => {}
                () = linger::stopped(self.stopping.clone()) => {}
            }
        }
        Ok(())
    }
}
