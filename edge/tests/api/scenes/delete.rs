//! `DELETE /api/scenes/{id}`.

use axum::http::Method;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, job_id},
};

#[test]
fn removes_the_scene_and_its_picture_for_its_owner_only() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let id = app.world.accepted(1);
    app.world.run_to_the_end(id);
    let path = format!("/api/scenes/{}", job_id(1));
    let delete = || app.call(Method::DELETE, &path);

    delete().send().problem(401);
    delete().token(&app.sign_in(7)).send().problem(404);
    assert_eq!(app.world.database.tables().files.len(), 1);

    assert_eq!(delete().token(&token).send().status, 204);
    assert!(app.world.database.tables().files.is_empty());
    app.get(&path).token(&token).send().problem(404);
    delete().token(&token).send().problem(404);
}

#[test]
fn without_the_database_nothing_is_removed() {
    let app = TestApp::new();
    let token = app.sign_in(200);
    app.world.faults.fail_calls("scenes.delete", 1);
    let path = format!("/api/scenes/{}", job_id(1));
    app.call(Method::DELETE, &path).token(&token).send().problem(503);
}
