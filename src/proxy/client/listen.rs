//! Listening sockets: binds them, accepts connections, and hands them to Pingora.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::connection::{ClientStream, Connection};
use super::doubts::Doubts;
use super::linger::{self, Lingering, OverTcp};
use super::load::Loads;
use super::open::{Entered, Open};
use super::proxy_header;
use super::socket::ClientSocket;
use crate::base::address::ClientIp;
use crate::base::clock::Clock;
use crate::proxy::live::served::Served;
use crate::proxy::settings::{ListenerKind, ListenerSettings, NetworkSettings};

/// Deadline for a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
const BACKLOG: i32 = 1024;
/// Pause after a failed accept, for example without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The state that every accepted connection needs.
#[derive(Clone)]
pub(in crate::proxy) struct Acceptor {
    pub(in crate::proxy) proxy: Arc<Served>,
    pub(in crate::proxy) tls: Option<TlsAcceptor>,
    pub(in crate::proxy) network: Arc<NetworkSettings>,
    pub(in crate::proxy) open: Arc<Open>,
    pub(in crate::proxy) lingering: Arc<Lingering>,
    pub(in crate::proxy) loads: Arc<Loads>,
    pub(in crate::proxy) clock: Arc<dyn Clock>,
    pub(in crate::proxy) stopping: watch::Receiver<bool>,
    pub(in crate::proxy) draining: Arc<AtomicBool>,
    pub(in crate::proxy) doubts: Arc<Doubts>,
}

/// Binds a listener, or takes the socket that was handed over for its address.
pub(in crate::proxy) fn bind(
    settings: ListenerSettings,
    handed_over: Option<std::net::TcpListener>,
) -> io::Result<TcpListener> {
    if let Some(socket) = handed_over {
        socket.set_nonblocking(true)?;
        return TcpListener::from_std(socket);
    }
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
        let task = Arc::default();
        let Some((connection, entered)) = self.enter(peer, kind, false, &task) else { return };
        let this = self.clone();
        let announced = self.network.proxy_protocol && this.is_trusted(peer);
        let serving = tokio::spawn(async move {
            let served = if announced {
                this.serve_announced(stream, (connection, entered)).await
            } else {
                let served = this.serve(stream, connection).await;
                drop(entered);
                served
            };
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "connection failed before its first request");
            }
        });
        task.get_or_init(|| serving.abort_handle());
    }

    fn is_trusted(&self, peer: SocketAddr) -> bool {
        ClientIp::new(peer.ip()).is_in(&self.network.trusted_proxies)
    }

    /// Counts a connection. Returns `None` if there are too many.
    fn enter(
        &self,
        peer: SocketAddr,
        kind: ListenerKind,
        nameless: bool,
        task: &Arc<OnceLock<AbortHandle>>,
    ) -> Option<(Arc<Connection>, Entered)> {
        let address = peer.ip();
        let client =
            if nameless { ClientIp::unknown_behind(address) } else { ClientIp::new(address) };
        let connection = Connection::new(peer, kind, self.loads.of(client), self.clock.monotonic());
        let connection = if nameless { connection.without_name() } else { connection };
        let connection = Arc::new(connection.in_task(Arc::clone(task)));
        let entered = self.open.enter(&connection, self.is_trusted(peer));
        if entered.is_none() {
            tracing::debug!(%client, "connection refused: too many");
        }
        entered.map(|entered| (connection, entered))
    }

    /// Serves a connection of a trusted proxy after its PROXY header, on behalf of the client that
    /// the header names.
    async fn serve_announced(
        &self,
        mut stream: TcpStream,
        (connection, entered): (Arc<Connection>, Entered),
    ) -> io::Result<()> {
        let (proxy, kind, task) = (connection.peer, connection.kind, connection.task());
        let header = tokio::time::timeout(proxy_header::TIME, proxy_header::read(&mut stream));
        let named = tokio::select! {
            read = header => read.map_err(|_elapsed| io::ErrorKind::TimedOut)?,
            () = connection.closed() => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let named = named.inspect_err(|error| {
            self.doubts.proxy_header(proxy.ip(), error, self.clock.monotonic());
        })?;
        drop(entered);
        let Some((connection, entered)) =
            self.enter(named.unwrap_or(proxy), kind, named.is_none(), &task)
        else {
            return Ok(());
        };
        let served = self.serve(stream, connection).await;
        drop(entered);
        served
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
        let stream: Stream = Box::new(stream.reset_by(reset));
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

/// Makes the close of the socket a reset.
fn reset<S: OverTcp>(io: &mut S) {
    if let Err(error) = io.tcp().set_zero_linger() {
        tracing::debug!(%error, "failed to reset a connection");
    }
}
