//! Resolution of limits: sessions, passwords and throttling.

use std::time::Duration;

use super::cores;
use crate::auth::password::{Cost, PasswordSettings};
use crate::auth::session::SessionLimits;
use crate::auth::throttle::{Budget, Budgets, Ladder, Pace};
use crate::auth::ticket;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawPasswords, RawSessions, RawThrottle, RawTickets};
use crate::config::reader::Reader;
use crate::config::units;

/// Maximum idle time of a session with two factors (NIST SP 800-63B-4 §2.2.3).
const NIST_IDLE: Duration = Duration::from_hours(1);
/// Maximum lifetime of a session with two factors (NIST SP 800-63B-4 §2.2.3).
const NIST_ABSOLUTE: Duration = Duration::from_hours(24);
/// Minimum password length with two factors (NIST SP 800-63B-4 §3.1.1.1).
const LENGTH_MIN: usize = 8;
/// Highest allowed `min_length`. A higher one would exclude good passphrases.
const LENGTH_MAX: usize = 64;
/// Maximum memory per hash, in KiB.
const MEMORY_MAX: u64 = 2 << 20;
/// Maximum consecutive failures (NIST SP 800-63B-4 §3.2.2).
const NIST_TRIES: u32 = 100;

/// Resolves session lifetimes.
pub(super) fn sessions(raw: &RawSessions, r: &mut Reader<'_>) -> SessionLimits {
    let at = KeyPath::of("sessions");
    let default = SessionLimits::default();
    let (idle_key, absolute_key) = (at.key("idle"), at.key("absolute"));
    let idle = r.positive_duration(&idle_key, raw.idle.as_deref(), default.idle);
    let absolute = r.positive_duration(&absolute_key, raw.absolute.as_deref(), default.absolute);
    let pending = r.positive_duration(&at.key("pending"), raw.pending.as_deref(), default.pending);
    if !raw.allow_beyond_nist.unwrap_or(false) {
        for (key, value, most) in
            [(&idle_key, idle, NIST_IDLE), (&absolute_key, absolute, NIST_ABSOLUTE)]
        {
            if value > most {
                r.fail(
                    key,
                    format!(
                        "longer than the {} that NIST SP 800-63B-4 allows: write less, or set \
                         sessions.allow_beyond_nist = true",
                        units::written(most)
                    ),
                );
            }
        }
    }
    if idle > absolute {
        let key = if r.has(&idle_key) { &idle_key } else { &absolute_key };
        r.fail(key, "sessions.idle is longer than sessions.absolute: it would have no effect");
    }
    SessionLimits { idle, absolute, pending }
}

/// Resolves the lifetime of one-time links.
pub(super) fn tickets(raw: &RawTickets, r: &mut Reader<'_>) -> Duration {
    let key = KeyPath::of("tickets.lifetime");
    let lifetime = r.positive_duration(&key, raw.lifetime.as_deref(), ticket::LIFETIME);
    if lifetime > ticket::LONGEST {
        r.fail(&key, "too long for a link that grants access: write at most \"7days\"");
    }
    lifetime
}

/// Resolves password requirements and the cost of hashes.
pub(super) fn passwords(raw: &RawPasswords, r: &mut Reader<'_>) -> PasswordSettings {
    let at = KeyPath::of("passwords");
    let floor = Cost::FLOOR;
    let cost = Cost {
        memory_kib: memory(raw.memory.as_deref(), &at.key("memory"), r),
        passes: r.number(&at.key("passes"), raw.passes, floor.passes, &(floor.passes..=64)),
        lanes: r.number(&at.key("lanes"), raw.lanes, floor.lanes, &(floor.lanes..=16)),
    };
    let length_key = at.key("min_length");
    let min_length = r.number(&length_key, raw.min_length, LENGTH_MIN, &(LENGTH_MIN..=LENGTH_MAX));
    let threads_key = at.key("hashing_threads");
    let threads = r.number(&threads_key, raw.hashing_threads, (cores() / 2).max(1), &(1..=1024));
    r.show(&threads_key, threads);
    if threads > cores() {
        let warning = format!("more than the number of cores: {} are used", cores());
        r.warn(&threads_key, &warning);
    }
    PasswordSettings {
        cost,
        min_length,
        threads: threads.min(cores()),
        queue: r.number(&at.key("queue"), raw.queue, 64, &(0..=10_000)),
    }
}

/// Resolves the memory per hash, in KiB.
fn memory(text: Option<&str>, key: &KeyPath, r: &mut Reader<'_>) -> u32 {
    let floor = Cost::FLOOR.memory_kib;
    let Some(text) = text else { return floor };
    let Some(kib) = units::size(text).map(|bytes| bytes / 1024) else {
        r.fail(key, "not a size: write a number and a unit, such as \"19MiB\"");
        return floor;
    };
    match u32::try_from(kib) {
        Ok(kib) if kib >= floor && u64::from(kib) <= MEMORY_MAX => kib,
        _ => {
            r.fail(
                key,
                "out of range: write \"19MiB\" (the minimum that resists guessing) to \"2GiB\"",
            );
            floor
        }
    }
}

/// Resolves the attempt limits.
pub(super) fn budgets(raw: &RawThrottle, r: &mut Reader<'_>) -> Budgets {
    let default = Budgets::default();
    let key = |name: &str| KeyPath::of("throttle").key(name);
    let waits = default.name;
    let first = r.positive_duration(&key("first_wait"), raw.first_wait.as_deref(), waits.first);
    let longest =
        r.positive_duration(&key("longest_wait"), raw.longest_wait.as_deref(), waits.longest);
    let forget =
        r.positive_duration(&key("forget_after"), raw.forget_after.as_deref(), waits.forget);
    if first > longest {
        r.fail(&key("first_wait"), "longer than throttle.longest_wait: it would have no effect");
    }
    if longest > forget {
        let why = "longer than throttle.forget_after: no backoff could reach it";
        r.fail(&key("longest_wait"), why);
    }
    let mut pace = |name: &str, free, most, default: Pace| Pace {
        free: r.number(&key(name), free, default.free, &(1..=most)),
        first,
        longest,
        forget,
    };
    let address = pace("per_address", raw.per_address, 1_000_000, default.address);
    let name = pace("per_name", raw.per_name, NIST_TRIES, default.name);
    let mut budget = |name: &str, tries, most, window_name: &str, window, default: Budget| Budget {
        tries: r.number(&key(name), tries, default.tries, &(1..=most)),
        window: r.positive_duration(&key(window_name), window, default.window),
    };
    let window = raw.device_window.as_deref();
    let device =
        budget("per_device", raw.per_device, NIST_TRIES, "device_window", window, default.device);
    let window = raw.spray_window.as_deref();
    let spray = budget("spray", raw.spray, 1_000_000, "spray_window", window, default.spray);
    let lives = raw.device_lives.as_deref();
    let device_lives = r.positive_duration(&key("device_lives"), lives, default.device_lives);
    let second_factor = ladder(raw, r);
    let login = r.number(&key("per_login"), raw.per_login, default.login, &(1..=NIST_TRIES));
    Budgets { address, name, device, device_lives, spray, second_factor, login }
}

/// Resolves the backoff for consecutive second-factor failures.
fn ladder(raw: &RawThrottle, r: &mut Reader<'_>) -> Ladder {
    let default = Budgets::default().second_factor;
    let key = |name: &str| KeyPath::of("throttle").key(name);
    let (long_after, most) = (raw.second_factor_long_after, raw.second_factor_most);
    let (wait, long_wait) =
        (raw.second_factor_wait.as_deref(), raw.second_factor_long_wait.as_deref());
    let range = 1..=NIST_TRIES;
    Ladder {
        every: r.number(&key("second_factor"), raw.second_factor, default.every, &range),
        short: r.positive_duration(&key("second_factor_wait"), wait, default.short),
        long_after: r.number(
            &key("second_factor_long_after"),
            long_after,
            default.long_after,
            &range,
        ),
        long: r.positive_duration(&key("second_factor_long_wait"), long_wait, default.long),
        most: r.number(&key("second_factor_most"), most, default.most, &range),
    }
}
