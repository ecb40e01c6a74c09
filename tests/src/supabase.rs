//! Supabase as a client sees it: signing up, and reading rows and files with a key of one's choice.

use anyhow::{Context, Result};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::stack::{Account, Stack};

/// A signed-in person.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub email: String,
    pub token: String,
}

/// Signs up somebody new.
pub async fn sign_up(stack: &Stack) -> Result<Person> {
    let email = format!("{}@example.org", uuid::Uuid::new_v4());
    let account = Account { email, password: "correct horse battery".to_owned() };
    enter(stack, "signup", account).await
}

/// Signs in somebody known.
pub async fn sign_in(stack: &Stack, account: &Account) -> Result<Person> {
    enter(stack, "token?grant_type=password", account.clone()).await
}

async fn enter(stack: &Stack, path: &str, account: Account) -> Result<Person> {
    let Account { email, password } = account;
    let answer: Value = Client::new()
        .post(format!("{}/auth/v1/{path}", stack.supabase_url))
        .header("apikey", &stack.publishable_key)
        .json(&json!({ "email": email, "password": password }))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(Person {
        id: answer["user"]["id"].as_str().context("a user id")?.to_owned(),
        email,
        token: answer["access_token"].as_str().context("an access token")?.to_owned(),
    })
}

/// Rows of a table as the service sees them: the whole truth.
pub async fn rows(stack: &Stack, table: &str, query: &str) -> Result<Vec<Value>> {
    let answer = Client::new()
        .get(format!("{}/rest/v1/{table}?{query}", stack.supabase_url))
        .header("apikey", &stack.secret_key)
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}

/// Rows of a table as a person sees them, through row-level security.
pub async fn rows_seen_by(
    stack: &Stack,
    person: &Person,
    table: &str,
    query: &str,
) -> Result<Vec<Value>> {
    let answer = Client::new()
        .get(format!("{}/rest/v1/{table}?{query}", stack.supabase_url))
        .header("apikey", &stack.publishable_key)
        .bearer_auth(&person.token)
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}

/// Changes rows as the service: for putting the database into a state no client could.
pub async fn update(stack: &Stack, table: &str, query: &str, change: &Value) -> Result<()> {
    Client::new()
        .patch(format!("{}/rest/v1/{table}?{query}", stack.supabase_url))
        .header("apikey", &stack.secret_key)
        .json(change)
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}

/// Adds a row as the service: for putting the database into a state no client could.
pub async fn insert(stack: &Stack, table: &str, row: &Value) -> Result<()> {
    Client::new()
        .post(format!("{}/rest/v1/{table}", stack.supabase_url))
        .header("apikey", &stack.secret_key)
        .json(row)
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}

/// A file in storage, asked for with a person's token.
pub async fn file_seen_by(stack: &Stack, person: &Person, path: &str) -> Result<Response> {
    Ok(Client::new()
        .get(format!("{}/storage/v1/object/{path}", stack.supabase_url))
        .header("apikey", &stack.publishable_key)
        .bearer_auth(&person.token)
        .send()
        .await?)
}

/// The names in a folder of storage.
pub async fn files_in(stack: &Stack, bucket: &str, folder: &str) -> Result<Vec<String>> {
    let answer: Vec<Value> = Client::new()
        .post(format!("{}/storage/v1/object/list/{bucket}", stack.supabase_url))
        .header("apikey", &stack.secret_key)
        .json(&json!({ "prefix": folder, "limit": 100 }))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(answer.iter().filter_map(|file| Some(file["name"].as_str()?.to_owned())).collect())
}
