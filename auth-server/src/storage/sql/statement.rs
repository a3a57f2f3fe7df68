//! One statement for either database: the text once, with `$1` parameters, which both understand.

use std::borrow::Cow;

use sqlx::{
    Row as _,
    postgres::{PgArguments, PgConnection, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqliteConnection, SqliteRow},
};

use crate::{
    model::{scope::ScopeSet, secret::Digest},
    outside::Timestamp,
    storage::{Result, StorageError},
};

/// A connection to the database that is configured.
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// A parameter. The absent ones are typed, because PostgreSQL wants to know what is absent.
#[derive(Clone)]
pub(super) enum Value<'q> {
    Text(Option<Cow<'q, str>>),
    Integer(Option<i64>),
}

/// SQL of ours with its parameters.
#[derive(Clone)]
pub(super) struct Statement<'q> {
    text: &'static str,
    values: Vec<Value<'q>>,
}

/// Begins a statement.
pub(super) const fn sql<'q>(text: &'static str) -> Statement<'q> {
    Statement { text, values: Vec::new() }
}

impl<'q> Statement<'q> {
    /// Gives the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The same statement, with parameters of its own: for work that outlives its caller.
    pub(super) fn owned(self) -> Statement<'static> {
        let own = |value| match value {
            Value::Text(text) => Value::Text(text.map(|text: Cow<'q, str>| Cow::Owned(text.into_owned()))),
            Value::Integer(integer) => Value::Integer(integer),
        };
        Statement { text: self.text, values: self.values.into_iter().map(own).collect() }
    }

    /// Runs the statement and returns how many rows it changed.
    pub(super) async fn execute(self, connection: &mut Connection<'_>) -> Result<u64> {
        Ok(match connection {
            Connection::Sqlite(sqlite) => self.for_sqlite().execute(&mut **sqlite).await?.rows_affected(),
            Connection::Postgres(postgres) => {
                self.for_postgres().execute(&mut **postgres).await?.rows_affected()
            }
        })
    }

    /// The first row, if there is any.
    pub(super) async fn optional(self, connection: &mut Connection<'_>) -> Result<Option<Row>> {
        Ok(match connection {
            Connection::Sqlite(sqlite) => {
                self.for_sqlite().fetch_optional(&mut **sqlite).await?.map(Row::Sqlite)
            }
            Connection::Postgres(postgres) => {
                self.for_postgres().fetch_optional(&mut **postgres).await?.map(Row::Postgres)
            }
        })
    }

    /// Every row.
    pub(super) async fn all(self, connection: &mut Connection<'_>) -> Result<Vec<Row>> {
        Ok(match connection {
            Connection::Sqlite(sqlite) => {
                self.for_sqlite().fetch_all(&mut **sqlite).await?.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(postgres) => {
                self.for_postgres().fetch_all(&mut **postgres).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Whether there is any row.
    pub(super) async fn exists(self, connection: &mut Connection<'_>) -> Result<bool> {
        Ok(self.optional(connection).await?.is_some())
    }

    fn for_sqlite(self) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
        let mut query = sqlx::query(self.text);
        for value in self.values {
            query = match value {
                Value::Text(text) => query.bind(text.map(Cow::into_owned)),
                Value::Integer(integer) => query.bind(integer),
            };
        }
        query
    }

    fn for_postgres(self) -> Query<'q, sqlx::Postgres, PgArguments> {
        let mut query = sqlx::query(self.text);
        for value in self.values {
            query = match value {
                Value::Text(text) => query.bind(text.map(Cow::into_owned)),
                Value::Integer(integer) => query.bind(integer),
            };
        }
        query
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(text: &'q String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(text: &'q Option<String>) -> Self {
        Self::from(text.as_deref())
    }
}

impl<'q> From<&'q Digest> for Value<'q> {
    fn from(digest: &'q Digest) -> Self {
        Self::from(digest.as_str())
    }
}

impl<'q> From<Option<&'q Digest>> for Value<'q> {
    fn from(digest: Option<&'q Digest>) -> Self {
        Self::from(digest.map(Digest::as_str))
    }
}

impl From<&ScopeSet> for Value<'_> {
    fn from(scopes: &ScopeSet) -> Self {
        Self::from(scopes.to_string())
    }
}

impl From<i64> for Value<'_> {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::from(i64::from(truth))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(at: Timestamp) -> Self {
        Self::from(at.unix_seconds())
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(at: Option<Timestamp>) -> Self {
        Self::Integer(at.map(Timestamp::unix_seconds))
    }
}

/// A row of either database.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn text(&self, column: &str) -> Result<String> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(super) fn optional_text(&self, column: &str) -> Result<Option<String>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(super) fn integer(&self, column: &str) -> Result<i64> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(super) fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(super) fn truth(&self, column: &str) -> Result<bool> {
        Ok(self.integer(column)? != 0)
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp> {
        self.integer(column).map(Timestamp::from_unix_seconds)
    }

    pub(super) fn optional_time(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.optional_integer(column)?.map(Timestamp::from_unix_seconds))
    }

    pub(super) fn digest(&self, column: &str) -> Result<Digest> {
        self.text(column).map(Digest::stored)
    }

    pub(super) fn scopes(&self, column: &str) -> Result<ScopeSet> {
        ScopeSet::parse(&self.text(column)?).map_err(StorageError::new)
    }

    /// A column that holds JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(StorageError::new)
    }
}

/// A value as the JSON that a column holds.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(StorageError::new)
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(error)
    }
}
