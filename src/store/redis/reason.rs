//! Errors of the driver in words for the operator: what is wrong, what to do, and what the server
//! said. What could quote an address or a record is left out.

use redis::{ErrorKind, RedisError};

use crate::store::TOO_SLOW;

/// What an error says to the operator.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open: what is new is kept quiet")]
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
        _ => "it answered in a way that is not understood; is it a Redis server?".to_owned(),
    }
}

/// Whether TLS broke off over the server's certificate. The crate says so in words only.
fn is_about_certificate(failed: &RedisError) -> bool {
    failed.to_string().contains("certificate")
}

/// Whether a server refused because its user lacks a right. Within a script it says so in words.
pub(super) fn is_no_permission(code: &str, detail: &str) -> bool {
    code == "NOPERM" || detail.contains("NOPERM") || detail.contains("can't run this command")
}

/// Why a server refused, as far as it tells.
fn refusal(code: &str, detail: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => "its memory is full: raise maxmemory",
        "READONLY" | "MASTERDOWN" => "it is a replica: give the address of the primary",
        "MISCONF" => {
            "it takes no writes because it cannot save to its disk: free space there, or mend its \
             save settings"
        }
        "NOREPLICAS" => "it takes no writes because too few replicas are connected",
        "NOAUTH" => "it wants a password: write redis://user:password@host:port/db",
        "WRONGPASS" => "it refused the user name or the password in its address",
        "LOADING" => "it is still loading its data",
        "BUSY" => "a script of somebody else keeps it busy",
        "CLUSTERDOWN" | "MOVED" | "ASK" | "CROSSSLOT" => {
            "it is part of a Redis cluster: give a server of its own"
        }
        _ if is_no_permission(code, detail) => {
            "it does not allow its user what Vestibule needs: `vestibule check --online` prints \
             the line to write"
        }
        _ if detail.contains("max number of clients") => {
            "it refuses more connections: raise maxclients"
        }
        _ => return None,
    })
}
