//! Credits: what a caller has left.

use axum::Json;
use shared::{api::credits::Credits, errors::ErrorBody, limits::TEXT_CREDITS_PER_1000_TOKENS};

use crate::{
    caller::Caller,
    error::Result,
    http::{extract::State, routes::Routes},
    ports::{gates::price_of_tokens, stores::JobStore},
    routes,
};

/// The table of routes.
pub fn routes() -> Routes {
    routes![read_credits]
}

/// Read what the caller may still spend.
#[utoipa::path(get, path = "/api/credits", tag = "credits", responses(
    (status = 200, body = Credits),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn read_credits(State(state): State, caller: Caller) -> Result<Json<Credits>> {
    find_credits(state.jobs.as_ref(), &caller).await.map(Json)
}

/// What so many tokens of text cost at the price nobody has changed. What the database charges is what counts.
pub fn price_of_text(tokens: u64) -> i64 {
    price_of_tokens(tokens, TEXT_CREDITS_PER_1000_TOKENS)
}

/// The caller's credits, as the ledger has them.
pub async fn find_credits(jobs: &dyn JobStore, caller: &Caller) -> Result<Credits> {
    let ledger = jobs.ledger(&caller.token, None).await?;
    let open = ledger.open_jobs.iter().chain(&ledger.open_texts);
    let reserved = open.map(|reservation| reservation.credits).sum();
    Ok(Credits { balance: ledger.balance, reserved })
}
