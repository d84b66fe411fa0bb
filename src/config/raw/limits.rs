//! The raw configuration of limits: sessions, passwords and throttling.

use schemars::JsonSchema;
use serde::Deserialize;

/// Session storage and lifetimes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSessions {
    /// embedded: in data_dir, for one machine. redis: shared by several machines.
    #[schemars(extend("default" = "embedded", "enum" = ["embedded", "redis"]))]
    pub(in crate::config) store: Option<String>,
    /// Idle time after which a session ends. At most 1h (NIST SP 800-63B-4 for two factors).
    #[schemars(extend("default" = "30m"))]
    pub(in crate::config) idle: Option<String>,
    /// Age at which a session ends. At most 24h (NIST SP 800-63B-4).
    #[schemars(extend("default" = "12h"))]
    pub(in crate::config) absolute: Option<String>,
    /// Time limit for completing a login with the second factor.
    #[schemars(extend("default" = "10m"))]
    pub(in crate::config) pending: Option<String>,
    /// True to allow idle and absolute values beyond NIST SP 800-63B-4.
    #[schemars(extend("default" = false))]
    pub(in crate::config) allow_beyond_nist: Option<bool>,
}

/// Password requirements and the cost of password hashes (argon2id).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawPasswords {
    /// Minimum characters of a new password, 8 to 64.
    #[schemars(extend("default" = 8))]
    pub(in crate::config) min_length: Option<usize>,
    /// Memory per hash, 19MiB to 2GiB.
    #[schemars(extend("default" = "19MiB"))]
    pub(in crate::config) memory: Option<String>,
    /// Passes over that memory, 2 to 64.
    #[schemars(extend("default" = 2))]
    pub(in crate::config) passes: Option<u32>,
    /// Lanes, 1 to 16.
    #[schemars(extend("default" = 1))]
    pub(in crate::config) lanes: Option<u32>,
    /// Maximum simultaneous hashes, at most the number of cores. Default: half of the cores.
    pub(in crate::config) hashing_threads: Option<usize>,
    /// Maximum queued hashes. Further requests get 503 with Retry-After.
    #[schemars(extend("default" = 64))]
    pub(in crate::config) queue: Option<usize>,
}

/// Failed attempts allowed before backoff.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawThrottle {
    /// Wrong passwords from unknown browsers in one network (one IPv4 address or one IPv6 /64)
    /// before backoff.
    #[schemars(extend("default" = 20))]
    pub(in crate::config) per_address: Option<u32>,
    /// Wrong passwords from unknown browsers for one name, existing or not, before backoff. At most
    /// 100.
    #[schemars(extend("default" = 5))]
    pub(in crate::config) per_name: Option<u32>,
    /// First backoff. Each further one is twice as long.
    #[schemars(extend("default" = "2s"))]
    pub(in crate::config) first_wait: Option<String>,
    /// Maximum backoff.
    #[schemars(extend("default" = "1m"))]
    pub(in crate::config) longest_wait: Option<String>,
    /// Time without attempts after which the backoff is reset.
    #[schemars(extend("default" = "1h"))]
    pub(in crate::config) forget_after: Option<String>,
    /// Wrong passwords from one known browser for its account, within device_window. At most 100.
    #[schemars(extend("default" = 10))]
    pub(in crate::config) per_device: Option<u32>,
    /// Length of the window, from its first wrong password.
    #[schemars(extend("default" = "15m"))]
    pub(in crate::config) device_window: Option<String>,
    /// Time for which a browser stays known after both factors were proved in it.
    #[schemars(extend("default" = "180days"))]
    pub(in crate::config) device_lives: Option<String>,
    /// Wrong passwords from unknown browsers across all names, within spray_window, that raise an
    /// alert. Alert only; no throttling.
    #[schemars(extend("default" = 300))]
    pub(in crate::config) spray: Option<u32>,
    /// Length of the window, from its first wrong password.
    #[schemars(extend("default" = "10m"))]
    pub(in crate::config) spray_window: Option<String>,
    /// Back off after every N consecutive second-factor failures of an account. At most 100.
    #[schemars(extend("default" = 10))]
    pub(in crate::config) second_factor: Option<u32>,
    /// Backoff after these failures.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) second_factor_wait: Option<String>,
    /// Consecutive failures from which the long backoff applies. At most 100.
    #[schemars(extend("default" = 20))]
    pub(in crate::config) second_factor_long_after: Option<u32>,
    /// Long backoff.
    #[schemars(extend("default" = "30m"))]
    pub(in crate::config) second_factor_long_wait: Option<String>,
    /// Consecutive failures after which the authenticator is suspended. At most 100 (NIST SP
    /// 800-63B-4).
    #[schemars(extend("default" = 50))]
    pub(in crate::config) second_factor_most: Option<u32>,
    /// Second-factor failures in one login after which the password is required again. At most 100.
    #[schemars(extend("default" = 5))]
    pub(in crate::config) per_login: Option<u32>,
}
