//! Declares the tables of the configuration. A row is a field of a raw struct, its entry in the JSON
//! Schema, its line in `docs/configuration.md` and `config/vestibule.example.toml`, and its line in
//! the output of `check`.

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Table {
    /// The rows, in the order of the documentation.
    pub(super) rows: &'static [Row],
}

/// A key.
#[derive(Debug)]
pub(super) struct Row {
    /// Name of the key.
    pub(super) key: &'static str,
    /// Lines of the description. The first paragraph is also in the example.
    pub(super) doc: &'static [&'static str],
    /// The kind of value.
    pub(super) kind: Kind,
    /// The value without the key.
    pub(super) absent: Absent,
    /// Value in the example, if not the default.
    pub(super) example: Option<&'static str>,
    /// True if the line in the example is not commented out.
    pub(super) shown: bool,
}

/// The kind of value of a key.
#[derive(Debug)]
pub(super) enum Kind {
    /// A value, described in words.
    Value(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A table. Without it, the defaults of its keys are in effect.
    Table(&'static Table),
    /// A table that stands for nothing if it is missing.
    Optional(&'static Table),
    /// A list of tables.
    List(&'static Table),
}

/// The value of a key that is not written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Absent {
    /// This value, as TOML.
    Default(&'static str),
    /// A value described in words.
    Implied(&'static str),
    /// None: the key is required in its table, or is a table itself.
    None,
}

/// Declares the raw struct of a table with this visibility, and its rows.
///
/// A row is `key: type, kind, absent, example;`:
///
/// * kind: `is "words"`, `one_of ["word", …]`, `table Raw…`, `optional Raw…` or
///   `list Raw…`
/// * absent: `default VALUE` or `implied "words"`; without either the key is required
/// * example: `example VALUE`, or `shown VALUE` for a line that is not commented out
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        $(#[schemars $schemars:tt])?
        $vis:vis $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[serde $serde:tt])?
                $key:ident: $type:ty
                    $(, is $words:literal)?
                    $(, one_of $choices:tt)?
                    $(, table $table:ident)?
                    $(, optional $optional:ident)?
                    $(, list $list:ident)?
                    $(, default $default:tt)?
                    $(, implied $implied:literal)?
                    $(, example $example:tt)?
                    $(, shown $shown:tt)?
                ;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $(#[schemars $schemars])?
        $vis struct $name {
            $(
                $(#[doc = $doc])*
                $(#[serde $serde])?
                $(#[schemars(extend("enum" = $choices))])?
                $(#[schemars(extend("default" = $default))])?
                $vis $key: $type,
            )*
        }

        impl $name {
            /// The rows of this table.
            $vis const TABLE: $crate::config::table::Table =
                $crate::config::table::Table {
                    rows: &[$(
                        $crate::config::table::Row {
                            key: stringify!($key),
                            doc: &[$($doc),*],
                            kind: $crate::config::table::kind!(
                                $(is $words)? $(one_of $choices)? $(table $table)?
                                $(optional $optional)? $(list $list)?
                            ),
                            absent: $crate::config::table::absent!(
                                $(default $default)? $(implied $implied)?
                            ),
                            example: $crate::config::table::example!(
                                $($example)? $($shown)?
                            ),
                            shown: $crate::config::table::is_there!($($shown)?),
                        },
                    )*],
                };
        }
    };
}

macro_rules! kind {
    (is $words:literal) => {
        $crate::config::table::Kind::Value($words)
    };
    (one_of $choices:tt) => {
        $crate::config::table::Kind::OneOf(&$choices)
    };
    (table $table:ident) => {
        $crate::config::table::Kind::Table(&$table::TABLE)
    };
    (optional $table:ident) => {
        $crate::config::table::Kind::Optional(&$table::TABLE)
    };
    (list $list:ident) => {
        $crate::config::table::Kind::List(&$list::TABLE)
    };
}

macro_rules! absent {
    (default $default:tt) => {
        $crate::config::table::Absent::Default(stringify!($default))
    };
    (implied $implied:literal) => {
        $crate::config::table::Absent::Implied($implied)
    };
    () => {
        $crate::config::table::Absent::None
    };
}

macro_rules! example {
    ($example:tt) => {
        Some(stringify!($example))
    };
    () => {
        None
    };
}

macro_rules! is_there {
    ($there:tt) => {
        true
    };
    () => {
        false
    };
}

pub(super) use {absent, example, is_there, kind, table};

impl Row {
    /// Returns the paragraphs of the description.
    pub(super) fn paragraphs(&self) -> Vec<String> {
        let lines = self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>();
        let paragraphs = lines.split(|line| line.is_empty());
        paragraphs.map(|lines| lines.join(" ")).filter(|text| !text.is_empty()).collect()
    }

    /// Returns true if the value is a secret.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Value("secret" | "list of secrets"))
    }

    /// Returns true if the key is required in its table.
    pub(super) fn is_required(&self) -> bool {
        let is_value = matches!(self.kind, Kind::Value(_) | Kind::OneOf(_));
        is_value && matches!(self.absent, Absent::None)
    }
}
