//! Ports for servers that the tests start, and ports that stay closed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use parking_lot::{Mutex, const_mutex};
use tokio::net::TcpSocket;
use vestibule::base::random::{OsRandom, Random as _};

/// Ports of servers. No outgoing connection gets one of them, so a server that was stopped can be
/// started on its port again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Ports given out, so that a server that was stopped finds its own again.
static GIVEN: Mutex<BTreeSet<u16>> = const_mutex(BTreeSet::new());

/// Returns a port that no one listens on, and that no other test gets.
pub(crate) fn free_port() -> u16 {
    let mut random = [0; 2];
    OsRandom::new().fill(&mut random).unwrap();
    let first = u16::from_le_bytes(random) % (PORTS.end - PORTS.start);
    let mut all = PORTS.skip(first.into()).chain(PORTS);
    let mut given = GIVEN.lock();
    let free = |port: &u16| {
        !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let port = all.find(free).expect("a free port");
    given.insert(port);
    port
}

/// A port that refuses connections for as long as this lives: it is bound, and no one listens.
#[derive(Debug)]
pub(crate) struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// Closes any free port.
    pub(crate) fn any() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Closes the port of this address. The listener there must be gone.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Opens it.
    pub(crate) fn listen(self) -> tokio::net::TcpListener {
        self.0.listen(100).unwrap()
    }
}
