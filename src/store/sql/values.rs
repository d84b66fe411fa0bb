//! Conversion between domain values and column values. This module knows no table.

use std::str::FromStr;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::base::clock::Timestamp;

/// Converts a time to its stored form.
pub(super) fn moment(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn decode<E: std::error::Error + Send + Sync + 'static>(
    column: &'static str,
) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}

/// Reads a text column.
pub(super) fn text(row: &AnyRow, column: &'static str) -> sqlx::Result<String> {
    row.try_get(column)
}

/// Reads an optional text column.
pub(super) fn optional_text(row: &AnyRow, column: &'static str) -> sqlx::Result<Option<String>> {
    row.try_get(column)
}

/// Parses the text of a column.
pub(super) fn parsed<T: FromStr>(row: &AnyRow, column: &'static str) -> sqlx::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text(row, column)?.parse().map_err(decode(column))
}

/// Parses the JSON text of a column.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    column: &'static str,
) -> sqlx::Result<T> {
    serde_json::from_str(&text(row, column)?).map_err(decode(column))
}

/// Reads a number column as a number of another type.
pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> sqlx::Result<T>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(row.try_get::<i64, _>(column)?).map_err(decode(column))
}

/// Reads a time column.
pub(super) fn at(row: &AnyRow, column: &'static str) -> sqlx::Result<Timestamp> {
    number(row, column).map(Timestamp::from_millis)
}

/// Reads an optional time column.
pub(super) fn optional_at(row: &AnyRow, column: &'static str) -> sqlx::Result<Option<Timestamp>> {
    let millis = row.try_get::<Option<i64>, _>(column)?;
    millis.map(|_some| at(row, column)).transpose()
}

/// Reads a column of zeros and ones as a bool.
pub(super) fn flag(row: &AnyRow, column: &'static str) -> sqlx::Result<bool> {
    number::<u64>(row, column).map(|n| n != 0)
}
