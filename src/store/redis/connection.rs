//! The connection to Redis: opened on first use, shared by all callers, and reopened when lost.
//! This module knows no key and no record.

use std::future::Future;

use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo, ProtocolVersion, RedisResult, TlsCertificates};

use crate::auth::ports::{StoreError, Stored};
use crate::base::secret::Secret;
use crate::store::{PATIENCE, TOO_SLOW};

use super::reason::reason;

/// The name of the store in errors.
pub(super) const STORE: &str = "the session store (Redis)";

/// A connection to Redis. Callers share it.
pub(super) struct Connection {
    client: Client,
    /// The manager reconnects after a broken connection, but it keeps an error that the server sent
    /// when it connected (wrong password, too many clients) and the connection to a server that
    /// became a replica. It is therefore replaced after any error from the server.
    manager: Mutex<Option<ConnectionManager>>,
}

fn error(reason: impl Into<String>) -> StoreError {
    StoreError { store: STORE, reason: reason.into() }
}

fn client(url: &Secret, ca: Option<&[u8]>) -> RedisResult<Client> {
    let info = url.reveal().into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(PATIENCE * 2);
    let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
    match ca {
        None => Client::open(info),
        Some(pem) => Client::build_with_tls(
            info,
            TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) },
        ),
    }
}

impl Connection {
    /// Returns the user name in the URL.
    pub(super) fn user(&self) -> String {
        let settings = self.client.get_connection_info().redis_settings();
        settings.username().unwrap_or("default").to_owned()
    }

    pub(super) fn new(url: &Secret, ca: Option<&[u8]>) -> Stored<Self> {
        let client = client(url, ca).map_err(|_may_hold_the_address| {
            error(
                "its address or CA is not valid; write redis://user:password@host:port/db, or \
                 rediss:// for TLS, with `/`, `?`, `#` and `@` in a password written as %2F, %3F, \
                 %23 and %40",
            )
        })?;
        Ok(Self { client, manager: Mutex::new(None) })
    }

    fn manager(&self) -> RedisResult<ConnectionManager> {
        let mut manager = self.manager.lock();
        if let Some(known) = manager.as_ref() {
            return Ok(known.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_pipeline_buffer_size(1024);
        let made = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        *manager = Some(made.clone());
        Ok(made)
    }

    /// Runs `command` within two seconds in all. If the first attempt found no server, it runs a
    /// second time, because that result may predate the server's return.
    pub(super) async fn run<T, F>(
        &self,
        command: impl Fn(ConnectionManager) -> F + Send + Sync,
    ) -> Stored<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
        T: Send,
    {
        let twice = async {
            match command(self.manager()?).await {
                Err(first) if first.is_connection_refusal() => command(self.manager()?).await,
                done => done,
            }
        };
        match tokio::time::timeout(PATIENCE, twice).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(failed)) => {
                if !failed.is_io_error() {
                    *self.manager.lock() = None;
                }
                Err(error(reason(&failed)))
            }
            Err(_elapsed) => Err(error(TOO_SLOW)),
        }
    }
}
