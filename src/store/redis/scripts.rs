//! Lua scripts that run atomically in Redis. The first lines of each script name its arguments.
//! `prelude.lua` holds the shared functions.
//!
//! Every script starts by writing the guard key, whose content is never used:
//! - A script that stores data sets it. A full server rejects this and with it the whole script. If
//!   another write came first, the server would run the script to its end.
//! - A script that reads or removes data deletes it. This works on a full server, so that sessions
//!   can still be ended. A server that has become a replica rejects it and returns no stale session.

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
        begin, bind_token, count, count_guess, identity_changed, keep_refusal, note_network, offer,
        offer_enrolment, pace, promote, renew, touch;
    "redis.call('DEL', KEYS[1])":
        clear, codes_done, end_account, end_by_id, end_pending, end_sessions, forgive,
        list_account, load_pending, load_refusal, load_session, seen_network, session_of_token, waits,
        withdraw;
}
