//! The scripts that run inside Redis, each one atomic. What each takes is named in its first lines;
//! what they share is `prelude.lua`.

use redis::Script;

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// All scripts, hashed once.
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($name: Script::new(concat!(
                        include_str!("scripts/prelude.lua"),
                        include_str!(concat!("scripts/", stringify!($name), ".lua")),
                    )),)+
                }
            }
        }
    };
}

scripts!(
    begin,
    clear,
    codes_done,
    count,
    count_guess,
    end_account,
    end_by_id,
    end_pending,
    end_sessions,
    forgive,
    list_account,
    load_pending,
    load_session,
    offer_enrolment,
    promote,
    touch,
);
