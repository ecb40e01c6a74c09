//! `/api/images`.

mod admins;
mod create;
mod input;
mod webhooks;

use serde_json::{Value, json};

use crate::support::{
    answer::Answer,
    app::{TestApp, config},
    nodes::Behaviour,
    world::World,
};

const ID: &str = "cm4abc123def456ghi789";

/// An app with one such node.
fn app_with(behaviour: Behaviour) -> TestApp {
    TestApp::on(World::with_nodes([behaviour]), config())
}

/// A valid order under `ID`.
fn order() -> Value {
    json!({
        "prompt": "Un chat mignon", "job_id": ID, "num_images": 2, "size": "64x32", "format": "PNG",
        "style": "illustration", "quality": "high",
    })
}

fn post(app: &TestApp, token: &str, body: &Value) -> Answer {
    app.post("/api/images/generate").token(token).json(body).send()
}

fn get(app: &TestApp, token: &str, id: &str) -> Answer {
    app.get(&format!("/api/images/{id}")).token(token).send()
}

/// Runs what waits in the queue, and delivers what it wrote.
fn run(app: &TestApp) {
    while !app.world.queues.waiting_generation().is_empty() {
        app.world.deliver();
    }
    app.world.drain_outbox();
}
