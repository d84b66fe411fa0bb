//! A connection to one server at a known address.

use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError, RedisResult,
    TlsCertificates,
};

use crate::store::PATIENCE;

use super::id::new_id;

/// Returns the client for an address. A TLS server is verified against the certificates in `ca`
/// (PEM), or against the public CAs.
pub(super) fn client(address: impl IntoConnectionInfo, ca: Option<&[u8]>) -> RedisResult<Client> {
    let info = address.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    open(info.set_redis_settings(settings).set_tcp_settings(tcp()), ca)
}

/// Returns a client for exactly these settings.
pub(super) fn open(info: ConnectionInfo, ca: Option<&[u8]>) -> RedisResult<Client> {
    match ca {
        None => Client::open(info),
        Some(pem) => Client::build_with_tls(info, certificates(pem)),
    }
}

/// Returns the TCP settings of every connection.
pub(super) fn tcp() -> TcpSettings {
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(PATIENCE * 2);
    tcp
}

pub(super) fn certificates(pem: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) }
}

/// A connection to one server.
pub(super) struct Node {
    client: Client,
    /// The manager reconnects after a broken connection, but it keeps an error that the server sent
    /// when it connected (wrong password, too many clients) and the connection to a server that
    /// became a replica. It is therefore replaced after any error from the server.
    manager: Mutex<Option<(u64, ConnectionManager)>>,
}

impl Node {
    pub(super) fn new(client: Client) -> Self {
        Self { client, manager: Mutex::new(None) }
    }

    pub(super) fn manager(&self) -> RedisResult<(u64, ConnectionManager)> {
        let mut held = self.manager.lock();
        if let Some((id, known)) = held.as_ref() {
            return Ok((*id, known.clone()));
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_pipeline_buffer_size(1024);
        let made = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        let id = new_id();
        *held = Some((id, made.clone()));
        Ok((id, made))
    }

    pub(super) fn failed(&self, id: u64, failed: &RedisError) {
        if !failed.is_io_error() {
            self.manager.lock().take_if(|(held, _)| *held == id);
        }
    }
}
