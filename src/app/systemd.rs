//! systemd: sockets passed to the service (`LISTEN_FDS`), and notifications of its state.
//!
//! Without a service manager nothing here has an effect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Listening sockets that were handed over and not taken yet.
#[derive(Debug)]
pub(super) struct Sockets(Vec<(SocketAddr, TcpListener)>);

impl Sockets {
    /// Takes the sockets from the environment (`LISTEN_FDS`, `LISTEN_PID`).
    pub(super) fn handed_over() -> Self {
        let mut all = ListenFd::from_env();
        let taken = (0..all.len()).filter_map(|number| match all.take_tcp_listener(number) {
            Ok(socket) => socket.and_then(|socket| Some((socket.local_addr().ok()?, socket))),
            Err(error) => {
                tracing::warn!(number, %error, "failed to use a passed socket");
                None
            }
        });
        Self(taken.collect())
    }

    /// Takes the socket of a listener. A socket of all IPv6 addresses also serves those of IPv4,
    /// unless it is for IPv6 only.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let any_v4 = address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let dual = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
        let at = |wanted| self.0.iter().position(|(bound, _)| *bound == wanted);
        let both = |place: &usize| self.0.get(*place).is_some_and(|(_, socket)| is_dual(socket));
        let place = at(address).or_else(|| if any_v4 { at(dual).filter(both) } else { None })?;
        let (address, socket) = self.0.swap_remove(place);
        tracing::info!(%address, "listening socket handed over");
        Some(socket)
    }

    /// Closes the sockets that no listener has taken.
    pub(super) fn finish(self) {
        for (address, _socket) in self.0 {
            tracing::warn!(%address, "passed socket closed: no listener has its address");
        }
    }
}

fn is_dual(socket: &TcpListener) -> bool {
    socket2::SockRef::from(socket).only_v6().is_ok_and(|only_v6| !only_v6)
}

/// Maximum queued messages about the state. A service manager that reads none has more to repair.
const QUEUE: usize = 64;

type Message = Vec<NotifyState<'static>>;

/// The service manager that started this process, if there is one. A thread of its own sends the
/// messages: a service manager that does not read them must not stop the gateway.
#[derive(Clone, Debug)]
pub(super) struct ServiceManager(Option<Arc<Sender>>);

#[derive(Debug)]
struct Sender {
    queue: SyncSender<Message>,
    /// True while an answer to the watchdog is queued. One is enough.
    answering: AtomicBool,
}

impl ServiceManager {
    /// Starts the thread, if a service manager wants messages (`NOTIFY_SOCKET`).
    pub(super) fn find() -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (queue, messages) = sync_channel(QUEUE);
        let sender = Arc::new(Sender { queue, answering: AtomicBool::new(false) });
        let shared = Arc::clone(&sender);
        let thread = std::thread::Builder::new().name("notify".to_owned());
        match thread.spawn(move || send_all(&messages, &shared.answering)) {
            Ok(_running) => Self(Some(sender)),
            Err(error) => {
                tracing::warn!(%error, "failed to notify the service manager");
                Self(None)
            }
        }
    }

    fn tell(&self, message: Message) {
        let Some(sender) = &self.0 else { return };
        if sender.queue.try_send(message).is_err() {
            tracing::warn!("the service manager does not read notifications");
        }
    }

    /// Tells that the service is ready.
    pub(super) fn ready(&self) {
        self.tell(vec![NotifyState::Ready]);
    }

    /// Tells that a reload has begun.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(vec![NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "failed to notify the service manager"),
        }
    }

    /// Tells that a reload is over. `done` is false if the former configuration stays.
    pub(super) fn reloaded(&self, done: bool) {
        let status =
            if done { "" } else { "reload failed, keeping the current configuration: see the log" };
        self.tell(vec![NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Tells that the service stops.
    pub(super) fn stopping(&self) {
        self.tell(vec![NotifyState::Stopping]);
    }

    /// Answers the watchdog, if there is one, for as long as this process runs tasks.
    pub(super) async fn answer_watchdog(self) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let Some(sender) = &self.0 else { return };
        let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(10)));
        loop {
            ticks.tick().await;
            if !sender.answering.swap(true, Ordering::AcqRel) {
                self.tell(vec![NotifyState::Watchdog]);
            }
        }
    }
}

/// Sends messages until the process ends.
fn send_all(messages: &Receiver<Message>, answering: &AtomicBool) {
    while let Ok(message) = messages.recv() {
        answering.store(false, Ordering::Release);
        #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
        let sent = sd_notify::notify(&message);
        if let Err(error) = sent {
            tracing::warn!(%error, "failed to notify the service manager");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(address: &str) -> (SocketAddr, TcpListener) {
        let socket = TcpListener::bind(address).unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn a_socket_is_taken_once_by_the_listener_of_its_address() {
        let (one, two) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
        let (first, second) = (one.0, two.0);
        let mut sockets = Sockets(vec![one, two]);
        let other = SocketAddr::from((Ipv4Addr::UNSPECIFIED, second.port()));
        assert!(sockets.take(other).is_none());
        assert_eq!(sockets.take(second).unwrap().local_addr().unwrap(), second);
        assert!(sockets.take(second).is_none());
        assert_eq!(sockets.take(first).unwrap().local_addr().unwrap(), first);
    }

    #[test]
    fn a_socket_of_all_addresses_serves_a_listener_of_all_ipv4_addresses() {
        let all = bound("[::]:0");
        let port = all.0.port();
        let mut sockets = Sockets(vec![all]);
        assert!(sockets.take(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_none());
        assert!(sockets.take(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).is_some());
    }

    #[test]
    fn a_socket_of_ipv6_only_serves_no_listener_of_ipv4_addresses() {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(true).unwrap();
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(1).unwrap();
        let socket = TcpListener::from(socket);
        let bound = socket.local_addr().unwrap();
        let mut sockets = Sockets(vec![(bound, socket)]);
        assert!(sockets.take(SocketAddr::from((Ipv4Addr::UNSPECIFIED, bound.port()))).is_none());
        assert!(sockets.take(bound).is_some());
    }
}
