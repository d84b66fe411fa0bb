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
    /// Wrong passwords from one address (one /64 in IPv6) within address_window.
    #[schemars(extend("default" = 20))]
    pub(in crate::config) per_address: Option<u32>,
    /// Counted from the first of them.
    #[schemars(extend("default" = "10m"))]
    pub(in crate::config) address_window: Option<String>,
    /// Wrong passwords for one name, known or not, within name_window. At most 100.
    #[schemars(extend("default" = 10))]
    pub(in crate::config) per_name: Option<u32>,
    /// Counted from the first of them.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) name_window: Option<String>,
    /// Wrong second factors of one account, over all its logins, within second_factor_window. At
    /// most 100.
    #[schemars(extend("default" = 10))]
    pub(in crate::config) second_factor: Option<u32>,
    /// Counted from the first of them.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) second_factor_window: Option<String>,
    /// Wrong second factors in one login, after which the password is asked for again. At most 100.
    #[schemars(extend("default" = 5))]
    pub(in crate::config) per_login: Option<u32>,
}
