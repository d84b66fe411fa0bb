//! Declares the events. A row has everything about an event: its fields, its name and outcome in the
//! audit log, its line in `docs/audit.md`, its words for the user, and the occasion of mail.

/// Declares [`Event`](super::Event) and [`Kind`](super::Kind) from one row for each event:
///
/// ```text
/// /// The line in docs/audit.md.
/// Variant { /** Documentation. */ field: Type } = "name" Done {
///     words: "Words for the user",         // or `words by function`, from the stored detail
///     factor: Some("password"),            // the factor tried or used; default: none
///     detail: { "field": field },          // the event's own fields; default: none
///     mail: Some(Occasion::NewBrowser),    // default: no mail
/// }
/// ```
///
/// `factor`, `detail` and `mail` may use the fields. An event without words does not compile.
macro_rules! events {
    ($(
        $(#[doc = $doc:literal])*
        $variant:ident $({ $( $(#[doc = $field_doc:literal])* $field:ident: $type:ty, )* })?
            = $name:literal $outcome:ident
        {
            $(words: $text:literal,)?
            $(words by $by:ident,)?
            $(factor: $factor:expr,)?
            $(detail: { $($key:literal: $value:expr),* $(,)? },)?
            $(mail: $mail:expr,)?
        }
    )*) => {
        /// A security event.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $(
                $(#[doc = $doc])*
                $variant $({ $( $(#[doc = $field_doc])* $field: $type, )* })?,
            )*
        }

        /// An event type: an event without its fields, for rows, filters and descriptions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(
                $(#[doc = $doc])*
                $variant,
            )*
        }

        impl Kind {
            /// All event types.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the name in audit rows, logs and JSON lines.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the outcome of such events.
            pub fn outcome(self) -> Outcome {
                match self { $(Self::$variant => Outcome::$outcome,)* }
            }

            /// Describes an event to the user of its account, by the detail of its row.
            pub fn words(self, detail: &Detail) -> &'static str {
                match self {
                    $(Self::$variant => {
                        super::table::words!(detail, $(text $text)? $(by $by)?)
                    })*
                }
            }

            /// Returns the lines about such events in the documentation.
            pub(super) fn doc(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($doc),*],)* }
            }

            /// Returns the names of the fields in the detail of a row.
            pub(super) fn keys(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($($key),*)?],)* }
            }
        }

        impl Event {
            /// Returns the kind of the event.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant { .. } => Kind::$variant,)* }
            }

            /// Returns the factor that was attempted or used, if any.
            #[expect(unused_variables, reason = "few fields say what the factor is")]
            pub fn factor(&self) -> Option<&'static str> {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        super::table::or_none!($($factor)?)
                    })*
                }
            }

            /// Returns the occasion to send the user mail, if the event is one.
            #[expect(unused_variables, reason = "few fields decide about mail")]
            pub fn mail(&self) -> Option<Occasion> {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        super::table::or_none!($($mail)?)
                    })*
                }
            }

            /// Returns the event's own fields.
            #[expect(unused_variables, reason = "a factor is no part of the detail")]
            pub fn detail(&self) -> Detail {
                let mut detail = Detail::new();
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        $($( detail.insert($key.to_owned(), json!($value)); )*)?
                    })*
                }
                detail
            }
        }
    };
}

macro_rules! words {
    ($detail:ident, text $text:literal) => {
        $text
    };
    ($detail:ident, by $by:ident) => {
        super::words::$by($detail)
    };
}

macro_rules! or_none {
    ($some:expr) => {
        $some
    };
    () => {
        None
    };
}

pub(super) use {events, or_none, words};
