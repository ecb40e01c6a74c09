//! The Durable Objects: a gate (`gates/`) each, its storage, and JSON calls by `fetch`.

pub mod account_do;
pub mod fleet_do;
pub mod job_room_do;
pub mod text_room_do;

use serde::{Serialize, de::DeserializeOwned};
use worker::{Request, Response, SqlStorage, SqlStorageValue, State, console_error};

/// The object's database, with its tables made.
fn open(state: &State, tables: &str) -> SqlStorage {
    let sql = state.storage().sql();
    // A constructor can't fail. Without its tables every call fails, which the caller is told.
    if let Err(error) = sql.exec(tables, None) {
        console_error!("creating an object's tables: {error}");
    }
    sql
}

/// The order in the request.
async fn order<T: DeserializeOwned>(mut request: Request) -> worker::Result<T> {
    Ok(serde_json::from_str(&request.text().await?)?)
}

fn answer(value: &impl Serialize) -> worker::Result<Response> {
    Response::from_json(value)
}

/// The first column of each row, which is text.
fn texts(
    sql: &SqlStorage,
    query: &str,
    bindings: Vec<SqlStorageValue>,
) -> worker::Result<Vec<String>> {
    sql.exec(query, bindings)?
        .raw()
        .map(|row| match row?.into_iter().next() {
            Some(SqlStorageValue::String(text)) => Ok(text),
            _ => Err(worker::Error::RustError("a column that should be text".to_owned())),
        })
        .collect()
}

/// A number for a column; the platform's numbers are exact up to 2^53.
fn number(value: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
