//! The scripts that run inside Redis, each one atomic. What each takes is named in its first lines;
//! what they share is `prelude.lua`.
//!
//! Every script begins by writing the guard key, which never holds anything that matters:
//! - One that stores something sets it. A server that is full refuses that, and so the whole
//!   script; after any other write it would let the script finish.
//! - One that reads or removes deletes it. That works on a full server, so that sessions can still
//!   be ended. A server that has become a replica refuses it, instead of telling of sessions that
//!   were ended elsewhere.

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
