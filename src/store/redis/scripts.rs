//! Lua scripts that run atomically in Redis. The first lines of each script name its arguments.
//! `prelude.lua` holds the shared functions.
//!
//! Every script first writes, or writes before it answers that there is nothing:
//! - A script that stores data begins with a write that a full server rejects, and with it the
//!   whole script. If another write came first, the server would run the script to its end.
//! - A script that reads or removes data begins with a write that changes nothing and that a full
//!   server accepts, so that sessions can still be ended. A server that has become a replica
//!   rejects it and returns no stale session.
//!
//! Scripts on one record write to that record: in a cluster that moves their slot to another node,
//! a second key would be on the other node. The others write to the guard key, whose content is
//! never used.

use redis::Script;

macro_rules! scripts {
    ($($guard:literal: $($name:ident),+;)+) => {
        /// All scripts, hashed once.
        pub(super) struct Scripts {
            $($(pub(super) $name: Script,)+)+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($($name: Script::new(concat!(
                        $guard,
                        "\n",
                        include_str!("scripts/prelude.lua"),
                        include_str!(concat!("scripts/", stringify!($name), ".lua")),
                    )),)+)+
                }
            }
        }
    };
}

scripts! {
    "redis.call('SET', KEYS[1], 1, 'PX', 1000)":
        count, keep_refusal, note_network, pace;
    "redis.call('DEL', KEYS[1])":
        clear, forgive, load_refusal, seen_network, waits;
    // No record has a field or a member without a name.
    "redis.call('HDEL', KEYS[1], '')":
        follow_branch, former_session, list_sessions, load_pending, load_session, load_sessions, parked, take_issued,
        take_parked;
    "redis.call('ZREM', KEYS[1], '')":
        end_account, identity_changed, list_account;
    // These write before they answer.
    "":
        begin, bind_token, branch, codes_done, count_guess, end_by_id, end_pending, end_sessions,
        issue, offer, offer_enrolment, park, promote, remember_session, renew, session_of_token, touch, withdraw;
}
