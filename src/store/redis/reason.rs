//! Driver errors in plain words: what is wrong, what to do, and the server's reply. Anything that
//! could quote an address or a record is omitted.

use redis::{ErrorKind, RedisError};

use crate::store::TOO_SLOW;

/// Describes an error to the operator.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive: new kinds get a general text"
)]
pub(super) fn reason(failed: &RedisError) -> String {
    match failed.kind() {
        ErrorKind::Io if failed.is_timeout() => TOO_SLOW.to_owned(),
        ErrorKind::Io if is_about_certificate(failed) => {
            "its certificate is not trusted; give the one of its CA as redis.ca".to_owned()
        }
        ErrorKind::Io => "it cannot be reached; check that it runs at the address given".to_owned(),
        ErrorKind::AuthenticationFailed => {
            "it refused the user name or the password in its address".to_owned()
        }
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let (code, detail) = (failed.code().unwrap_or("ERR"), failed.detail().unwrap_or(""));
            let said = format!("it said: {code} {detail}");
            refusal(code, detail).map_or_else(|| said.clone(), |why| format!("{why}; {said}"))
        }
        ErrorKind::RESP3NotSupported => "it is too old; use Redis 6.0 or newer".to_owned(),
        _ => "it sent an unexpected reply; is it a Redis server?".to_owned(),
    }
}

/// Returns true if TLS failed because of the server's certificate. The crate reports this only in
/// the error text.
fn is_about_certificate(failed: &RedisError) -> bool {
    failed.to_string().contains("certificate")
}

/// Returns true if the server user lacks a permission. Within a script, the reply says so only in
/// its text.
pub(super) fn is_no_permission(code: &str, detail: &str) -> bool {
    code == "NOPERM" || detail.contains("NOPERM") || detail.contains("can't run this command")
}

/// Explains an error reply of the server, if the code is known.
fn refusal(code: &str, detail: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => "its memory is full: raise maxmemory",
        "READONLY" | "MASTERDOWN" => "it is a replica: give the address of the primary",
        "MISCONF" => {
            "it accepts no writes because it cannot save to disk: free space there, or fix its \
             save settings"
        }
        "NOREPLICAS" => "it accepts no writes because too few replicas are connected",
        "NOAUTH" => "it requires a password: write redis://user:password@host:port/db",
        "WRONGPASS" => "it refused the user name or the password in its address",
        "LOADING" => "it is still loading its data",
        "BUSY" => "another client's script keeps it busy",
        "CLUSTERDOWN" | "MOVED" | "ASK" | "CROSSSLOT" => {
            "it is part of a Redis cluster: use a standalone server"
        }
        _ if is_no_permission(code, detail) => {
            "its user lacks permissions that Vestibule needs: `vestibule check --online` prints \
             the line to write"
        }
        _ if detail.contains("max number of clients") => {
            "it refuses more connections: raise maxclients"
        }
        _ => return None,
    })
}
