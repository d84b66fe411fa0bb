//! The raw configuration of limits: sessions, passwords and throttling.

use crate::config::table::table;

table! {
    /// Session storage and lifetimes.
    pub(in crate::config) RawSessions {
        /// Store for sessions, pending logins and counters: in `data_dir` for one machine, or in
        /// Redis for several.
        store: Option<String>, one_of ["embedded", "redis"], default "embedded";
        /// Idle timeout of a session. Bytes of a request in progress count as use. At most 1h, and
        /// not longer than `absolute`.
        idle: Option<String>, is "duration", default "30m";
        /// Maximum lifetime of a session. At most 24h.
        absolute: Option<String>, is "duration", default "12h";
        /// Maximum lifetime of a pending login.
        pending: Option<String>, is "duration", default "10m";
        /// Lifts the limits of 1h and 24h, which come from NIST SP 800-63B-4.
        allow_beyond_nist: Option<bool>, is "true or false", default false;
    }
}

table! {
    /// Password requirements and the cost of password hashes (argon2id).
    pub(in crate::config) RawPasswords {
        /// Minimum length of a new password. Passwords that are easy to guess, or that contain the
        /// name of the user or of an app, are rejected at any length
        /// ([security.md](security.md#factors)).
        min_length: Option<usize>, is "8 to 64", default 8;
        /// Memory for one hash. All hashes together use at most `hashing_threads` times as much.
        memory: Option<String>, is "size, 19MiB to 2GiB", default "19MiB";
        /// Passes over that memory.
        passes: Option<u32>, is "2 to 64", default 2;
        /// Lanes.
        lanes: Option<u32>, is "1 to 16", default 1;
        /// Maximum hashes computed at once. A value above the number of cores is reduced to it,
        /// with a warning.
        hashing_threads: Option<usize>, is "1 to 1024", implied "half of the cores, at least 1",
            example 1;
        /// Maximum hashes of strangers that wait; further requests get 503 with `Retry-After`. As
        /// many places are kept for known browsers and networks, one-time links, logins and
        /// sessions.
        queue: Option<usize>, is "0 to 10000", default 64;
    }
}

table! {
    /// Failed attempts allowed before backoff.
    pub(in crate::config) RawThrottle {
        /// Wrong passwords from unknown browsers in one network (one address, or one IPv6 /64)
        /// before backoff.
        per_address: Option<u32>, is "1 to 1000000", default 20;
        /// Wrong passwords from unknown browsers for one name, known or not, before backoff.
        per_name: Option<u32>, is "1 to 100", default 5;
        /// First wait of the backoff; each further wait is twice as long.
        first_wait: Option<String>, is "duration", default "2s";
        /// Longest wait of the backoff.
        longest_wait: Option<String>, is "duration", default "1m";
        /// Time without an attempt after which the count starts again.
        forget_after: Option<String>, is "duration", default "1h";
        /// Wrong passwords from one known browser for its account within `device_window`. Beyond
        /// that it counts as unknown.
        per_device: Option<u32>, is "1 to 100", default 10;
        /// Window of `per_device`, from the first wrong password.
        device_window: Option<String>, is "duration", default "15m";
        /// Time for which a browser stays known after both factors were proved in it.
        device_lives: Option<String>, is "duration", default "180days";
        /// Wrong passwords from unknown browsers over all names, within `spray_window`, that raise
        /// an alarm. Alert only; no throttling.
        spray: Option<u32>, is "1 to 1000000", default 300;
        /// Window of `spray`, from the first wrong password.
        spray_window: Option<String>, is "duration", default "10m";
        /// Back off after every N consecutive failed second factors of an account.
        second_factor: Option<u32>, is "1 to 100", default 10;
        /// Wait of this backoff, at first.
        second_factor_wait: Option<String>, is "duration", default "5m";
        /// Consecutive failures from which the long wait applies.
        second_factor_long_after: Option<u32>, is "1 to 100", default 20;
        /// The long wait.
        second_factor_long_wait: Option<String>, is "duration", default "30m";
        /// Consecutive failures that suspend the authenticator. NIST SP 800-63B-4 allows 100.
        second_factor_most: Option<u32>, is "1 to 100", default 50;
        /// Wrong or used second factors in one login before the password is required again.
        per_login: Option<u32>, is "1 to 100", default 5;
    }
}
