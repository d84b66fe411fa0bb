//! Keys of `[redis]`.

use std::path::PathBuf;

use crate::config::secret_ref::SecretRef;
use crate::config::table::table;

table! {
    /// Redis. Exactly one of url, sentinel and cluster is required.
    pub(in crate::config) RawRedis {
        /// One server: `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS.
        ///
        /// `check` warns if a `redis://` server is not on loopback.
        url: Option<SecretRef>, is "secret", implied "none", example "redis://127.0.0.1:6379/0";
        /// A primary and its replicas, monitored by Redis Sentinel: `[redis.sentinel]`.
        sentinel: Option<RawSentinel>, optional RawSentinel;
        /// Nodes of a Redis Cluster: `redis://[user:password@]host[:port]`, or `rediss://`, all with
        /// the same user and password. The other nodes are discovered, so a few addresses are enough.
        cluster: Option<Vec<SecretRef>>, is "list of secrets", implied "none",
            example ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"];
        /// PEM file with the CA certificates for verifying servers with TLS.
        ca: Option<PathBuf>, is "path", implied "the public authorities",
            example "certs/internal-ca.pem";
        /// Prefix of every key in Redis. In a Redis Cluster it becomes a hash tag, such as
        /// `{vestibule}`.
        key_prefix: Option<String>, is "1 to 64 letters, digits, `-` `_` `.` `:`",
            default "vestibule";
    }
}

table! {
    /// A primary and its replicas, monitored by Redis Sentinel.
    pub(in crate::config) RawSentinel {
        /// Name of the primary in the configuration of the sentinels.
        service: Option<String>, is "text", example "mymaster";
        /// Addresses of the sentinels. Without a port, 26379.
        addresses: Option<Vec<String>>, is "list of `host:port`",
            example ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"];
        /// User at the Redis servers.
        user: Option<String>, is "text", implied "the default user", example "vestibule";
        /// Password at the Redis servers. A sentinel gets user and password only if it asks for a
        /// password.
        password: Option<SecretRef>, is "secret", implied "none",
            example { file = "redis-password" };
        /// User at the sentinels.
        sentinel_user: Option<String>, is "text", implied "`user`", example "vestibule";
        /// Password at the sentinels.
        sentinel_password: Option<SecretRef>, is "secret", implied "`password`",
            example { file = "sentinel-password" };
        /// Number of the database.
        database: Option<u32>, is "number", default 0;
        /// True if the sentinels and the servers use TLS. `check` warns about `false` if they are not
        /// on loopback.
        tls: Option<bool>, is "true or false", default false;
    }
}
