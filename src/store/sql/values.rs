//! Between the values of the domain and those of columns. Knows no table.

use std::str::FromStr;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::base::clock::Timestamp;

/// A moment as it is stored.
pub(super) fn moment(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn decode<E: std::error::Error + Send + Sync + 'static>(
    column: &'static str,
) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}

/// The text in a column.
pub(super) fn text(row: &AnyRow, column: &'static str) -> sqlx::Result<String> {
    row.try_get(column)
}

/// The text in a column, if there is any.
pub(super) fn optional_text(row: &AnyRow, column: &'static str) -> sqlx::Result<Option<String>> {
    row.try_get(column)
}

/// What the text in a column stands for.
pub(super) fn parsed<T: FromStr>(row: &AnyRow, column: &'static str) -> sqlx::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text(row, column)?.parse().map_err(decode(column))
}

/// What the JSON text in a column stands for.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    column: &'static str,
) -> sqlx::Result<T> {
    serde_json::from_str(&text(row, column)?).map_err(decode(column))
}

/// The number in a column, as a number of another type.
pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> sqlx::Result<T>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(row.try_get::<i64, _>(column)?).map_err(decode(column))
}

/// The moment in a column.
pub(super) fn at(row: &AnyRow, column: &'static str) -> sqlx::Result<Timestamp> {
    number(row, column).map(Timestamp::from_millis)
}

/// The moment in a column, if there is any.
pub(super) fn optional_at(row: &AnyRow, column: &'static str) -> sqlx::Result<Option<Timestamp>> {
    let millis = row.try_get::<Option<i64>, _>(column)?;
    millis.map(|_some| at(row, column)).transpose()
}

/// The truth in a column of zeros and ones.
pub(super) fn flag(row: &AnyRow, column: &'static str) -> sqlx::Result<bool> {
    number::<u64>(row, column).map(|n| n != 0)
}
