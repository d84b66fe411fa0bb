//! Driver errors in plain words: what is wrong, what to do, and the server's reply. Anything that
//! could quote an address or a record is omitted.

use redis::{ErrorKind, RedisError, ServerErrorKind};

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
            refusal(in_script(detail).unwrap_or(code), detail)
                .map_or_else(|| said.clone(), |why| format!("{why}; {said}"))
        }
        ErrorKind::ClusterConnectionNotFound => {
            "no node of its cluster answers for the slot of its keys; check the cluster".to_owned()
        }
        ErrorKind::RESP3NotSupported => "it is too old; use Redis 6.0 or newer".to_owned(),
        _ => "it sent an unexpected reply; is it a Redis server?".to_owned(),
    }
}

/// Returns true if TLS failed because of the server's certificate. The crate reports this only in
/// the error text.
pub(super) fn is_about_certificate(failed: &RedisError) -> bool {
    failed.to_string().contains("certificate")
}

/// Returns true if another server is the primary by now. Within a script, servers before Redis 7 say
/// so only in the text of their reply.
pub(super) fn is_other_primary(failed: &RedisError) -> bool {
    failed.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || failed.detail().is_some_and(|detail| in_script(detail) == Some("READONLY"))
}

/// Returns the code of an error within a script, in the reply of a server before Redis 7: `Error
/// running script (call to f_…): @user_script:1: -READONLY You can't write …`.
fn in_script(detail: &str) -> Option<&str> {
    let (_, said) = detail.strip_prefix("Error running script")?.split_once(": -")?;
    said.split(' ').next()
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
        "READONLY" | "MASTERDOWN" => {
            "it is a replica: give the address of the primary, or use redis.sentinel"
        }
        "MISCONF" => {
            "it accepts no writes because it cannot save to disk: free space there, or fix its \
             save settings"
        }
        "NOREPLICAS" => "it accepts no writes because too few replicas are connected",
        "NOAUTH" => "it requires a password: write redis://user:password@host:port/db",
        "WRONGPASS" => "it refused the user name or the password in its address",
        "LOADING" => "it is still loading its data",
        "BUSY" => "another client's script keeps it busy",
        "CLUSTERDOWN" => {
            "its cluster lacks the primary of a slot: start it, and set \
             cluster-require-full-coverage no"
        }
        "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => {
            "another node of its Redis Cluster has the key: a failover is in progress or, with \
             redis.url, give the addresses of its nodes as redis.cluster"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_within_a_script_is_that_error_on_servers_before_redis_7() {
        let script = "Error running script (call to f_6b1bf486c81ceb7edf3c093f4a4b78fb7b2c9a3c): \
                      @user_script:1: -READONLY You can't write against a read only replica.";
        let failed = |detail: &str| {
            RedisError::from((
                ErrorKind::Server(ServerErrorKind::ResponseError),
                "An error was signalled by the server",
                detail.to_owned(),
            ))
        };
        assert!(is_other_primary(&failed(script)));
        assert!(reason(&failed(script)).starts_with("it is a replica"));
        let full = script.replace("READONLY", "OOM");
        assert!(!is_other_primary(&failed(&full)));
        assert!(reason(&failed(&full)).starts_with("its memory is full"));
        assert!(!is_other_primary(&failed("value is not an integer")));
    }
}
