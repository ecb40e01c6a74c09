//! `GET /api/scenes/{id}/image`.

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, job_id},
};

fn app_with_scene() -> (TestApp, String, String) {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let id = app.world.accepted(1);
    app.world.run_to_the_end(id);
    (app, token, format!("/api/scenes/{id}/image"))
}

#[test]
fn gives_the_picture_to_its_owner_and_to_no_shared_cache() {
    let (app, token, path) = app_with_scene();
    let answer = app.get(&path).token(&token).send();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(answer.header("cache-control"), Some("private, max-age=3600"));
    assert!(answer.text().starts_with("a red wizard"), "the file the node made");
}

#[test]
fn gives_it_to_nobody_else() {
    let (app, _, path) = app_with_scene();
    app.get(&path).send().problem(401);
    app.get(&path).token(&app.sign_in(7)).send().problem(404);
}

#[test]
fn a_picture_that_is_gone_is_404_and_storage_away_503() {
    let (app, token, path) = app_with_scene();
    app.world.faults.fail_calls("scenes.picture", 1);
    app.get(&path).token(&token).send().problem(503);
    app.world.database.tables().files.clear();
    app.get(&path).token(&token).send().problem(404);
    let other = format!("/api/scenes/{}/image", job_id(9));
    app.get(&other).token(&token).send().problem(404);
}
