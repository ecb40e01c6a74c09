//! `GET /api/scenes` and `GET /api/scenes/{id}`.

use crate::support::{
    app::{TestApp, config},
    faults::Part,
    nodes::Behaviour,
    world::{World, job_id},
};

fn app_with_scenes(count: u8) -> (TestApp, String) {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    for number in 1..=count {
        let id = app.world.accepted(number);
        app.world.run_to_the_end(id);
    }
    (app, token)
}

#[test]
fn pages_through_the_callers_scenes_newest_first() {
    let (app, token) = app_with_scenes(3);
    let first = app.get("/api/scenes?limit=2").token(&token).send().json(200);
    let items = first["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let id = job_id(3);
    assert_eq!(items[0]["id"], id.to_string());
    assert_eq!(items[0]["image_url"], format!("http://edge.example/api/scenes/{id}/image"));
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/scenes?limit=2&cursor={cursor}");
    let second = app.get(&path).token(&token).send().json(200);
    assert_eq!(second["items"][0]["id"], job_id(1).to_string());
}

#[test]
fn nobody_sees_the_scenes_of_others() {
    let (app, _) = app_with_scenes(1);
    let stranger = app.sign_in(7);
    let page = app.get("/api/scenes").token(&stranger).send().json(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 0);
    app.get(&format!("/api/scenes/{}", job_id(1))).token(&stranger).send().problem(404);
    app.get("/api/scenes").send().problem(401);
    app.get(&format!("/api/scenes/{}", job_id(1))).send().problem(401);
}

#[test]
fn a_limit_out_of_range_is_refused() {
    let (app, token) = app_with_scenes(0);
    for limit in ["0", "101", "x"] {
        let path = format!("/api/scenes?limit={limit}");
        let errors = app.get(&path).token(&token).send().field_errors();
        assert_eq!(errors, [("/limit".to_owned(), "range".to_owned())], "{limit}");
    }
}

#[test]
fn without_the_database_the_answer_is_503() {
    let (app, token) = app_with_scenes(1);
    for path in ["/api/scenes".to_owned(), format!("/api/scenes/{}", job_id(1))] {
        app.world.faults.away(Part::Database, 1_000);
        app.get(&path).token(&token).send().problem(503);
    }
}
