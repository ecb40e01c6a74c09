//! Credits: what a job costs, and what a caller has left.

use axum::Json;
use shared::{
    api::{credits::Credits, jobs::JobKind},
    errors::ErrorBody,
    limits::SCENE_CREDITS,
};

use crate::{
    caller::Caller,
    error::Result,
    http::{extract::State, routes::Routes},
    ports::stores::JobStore,
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

/// What a job of a kind costs when it completes. The database keeps its own price, in `settings`, which is
/// what the ledger is charged; if they differ, the account is wrong until it is next rebuilt from the ledger.
pub fn price_of(kind: JobKind) -> i64 {
    match kind {
        JobKind::Scene => SCENE_CREDITS,
    }
}

/// The caller's credits, as the ledger has them.
pub async fn find_credits(jobs: &dyn JobStore, caller: &Caller) -> Result<Credits> {
    let ledger = jobs.ledger(&caller.token).await?;
    let reserved = ledger.open_jobs.iter().map(|job| job.credits).sum();
    Ok(Credits { balance: ledger.balance, reserved })
}
