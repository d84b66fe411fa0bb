//! Limits as they are written: sessions, passwords, guesses.

use schemars::JsonSchema;
use serde::Deserialize;

/// Sessions: where they are kept and how long they live.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSessions {
    /// embedded: in data_dir, for one machine. redis: shared by several.
    #[schemars(extend("default" = "embedded", "enum" = ["embedded", "redis"]))]
    pub(in crate::config) store: Option<String>,
    /// Unused for this long, a session is over. At most 1h (NIST SP 800-63B-4 for two factors).
    #[schemars(extend("default" = "30m"))]
    pub(in crate::config) idle: Option<String>,
    /// This long after it started, a session is over. At most 24h (NIST SP 800-63B-4).
    #[schemars(extend("default" = "12h"))]
    pub(in crate::config) absolute: Option<String>,
    /// How long a login may wait for its second factor.
    #[schemars(extend("default" = "10m"))]
    pub(in crate::config) pending: Option<String>,
    /// Whether idle and absolute may lie beyond what NIST SP 800-63B-4 allows.
    #[schemars(extend("default" = false))]
    pub(in crate::config) allow_beyond_nist: Option<bool>,
}

/// Passwords: what is asked of them and what their hashes (argon2id) cost.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawPasswords {
    /// Fewest characters of a new password, 8 to 64.
    #[schemars(extend("default" = 8))]
    pub(in crate::config) min_length: Option<usize>,
    /// Memory for one hash, 19MiB to 2GiB.
    #[schemars(extend("default" = "19MiB"))]
    pub(in crate::config) memory: Option<String>,
    /// Passes over that memory, 2 to 64.
    #[schemars(extend("default" = 2))]
    pub(in crate::config) passes: Option<u32>,
    /// Lanes, 1 to 16.
    #[schemars(extend("default" = 1))]
    pub(in crate::config) lanes: Option<u32>,
    /// Hashes computed at once; never more than there are cores. Default: half of them.
    pub(in crate::config) hashing_threads: Option<usize>,
    /// Hashes that may wait for a turn; whoever comes beyond is told to come back.
    #[schemars(extend("default" = 64))]
    pub(in crate::config) queue: Option<usize>,
}

/// How many wrong guesses are borne before somebody has to wait.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawThrottle {
    /// Wrong passwords from unknown browsers in one network (one address, or one /64 in IPv6)
    /// before there are waits.
    #[schemars(extend("default" = 20))]
    pub(in crate::config) per_address: Option<u32>,
    /// Wrong passwords from unknown browsers for one name, known or not, before there are waits.
    /// At most 100.
    #[schemars(extend("default" = 5))]
    pub(in crate::config) per_name: Option<u32>,
    /// The first of these waits; each is twice as long as the one before.
    #[schemars(extend("default" = "2s"))]
    pub(in crate::config) first_wait: Option<String>,
    /// The longest of these waits.
    #[schemars(extend("default" = "1m"))]
    pub(in crate::config) longest_wait: Option<String>,
    /// Without a try for this long, the next is the first again.
    #[schemars(extend("default" = "1h"))]
    pub(in crate::config) forget_after: Option<String>,
    /// Wrong passwords from one known browser for its account, within device_window. At most 100.
    #[schemars(extend("default" = 10))]
    pub(in crate::config) per_device: Option<u32>,
    /// Counted from the first of them.
    #[schemars(extend("default" = "15m"))]
    pub(in crate::config) device_window: Option<String>,
    /// How long a browser stays known after both factors were proved in it.
    #[schemars(extend("default" = "180days"))]
    pub(in crate::config) device_lives: Option<String>,
    /// Wrong passwords from unknown browsers over all names, within spray_window, after which an
    /// alarm is given. It slows nobody.
    #[schemars(extend("default" = 300))]
    pub(in crate::config) spray: Option<u32>,
    /// Counted from the first of them.
    #[schemars(extend("default" = "10m"))]
    pub(in crate::config) spray_window: Option<String>,
    /// With every so many wrong second factors of one account in a row there is a wait. At most
    /// 100.
    #[schemars(extend("default" = 10))]
    pub(in crate::config) second_factor: Option<u32>,
    /// The wait, at first.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) second_factor_wait: Option<String>,
    /// From so many in a row on, the wait is the long one. At most 100.
    #[schemars(extend("default" = 20))]
    pub(in crate::config) second_factor_long_after: Option<u32>,
    /// The long wait.
    #[schemars(extend("default" = "30m"))]
    pub(in crate::config) second_factor_long_wait: Option<String>,
    /// With so many in a row the authenticator is suspended. At most 100 (NIST SP 800-63B-4).
    #[schemars(extend("default" = 50))]
    pub(in crate::config) second_factor_most: Option<u32>,
    /// Wrong second factors in one login, after which the password is asked for again. At most 100.
    #[schemars(extend("default" = 5))]
    pub(in crate::config) per_login: Option<u32>,
}
