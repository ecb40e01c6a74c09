//! Looking up: models, versions, lists, what is not there.

use serde_json::{Value, json};

use super::{MODEL, id_of, path_of};
use crate::{
    asking, predict,
    support::{Settings, TestNode},
};

#[tokio::test]
async fn a_model_and_its_version_can_be_looked_up() {
    let node = TestNode::start();
    let model = node.get(MODEL).await.json();
    assert_eq!((&model["owner"], &model["name"]), (&json!("chandelle"), &json!("tiny")));
    let id = model["latest_version"]["id"].as_str().unwrap();
    let found = node.get(&format!("{MODEL}/versions/{id}")).await.json();
    assert_eq!(found, model["latest_version"]);
    assert_eq!(found["openapi_schema"]["components"]["schemas"]["Output"]["type"], "array");
    let versions = node.get(&format!("{MODEL}/versions")).await.json();
    assert_eq!(versions["results"], json!([found]));
    node.get(&format!("{MODEL}/versions/0")).await.problem(404, "not_found");
    node.get("/v1/models/chandelle/huge").await.problem(404, "not_found");
    // OpenAI's route of one segment is still there.
    assert_eq!(node.get("/v1/models/tiny").await.json()["object"], "model");
}

#[tokio::test]
async fn the_list_has_a_hundred_on_a_page_the_newest_first() {
    let node = TestNode::with(Settings { queue_capacity: 200, ..Settings::default() });
    node.script.hold();
    let mut ids = Vec::new();
    for _ in 0..103 {
        ids.push(id_of(&predict(&node, asking("a fish")).await).to_owned());
    }
    ids.reverse();
    let ids_of = |page: &Value| -> Vec<String> {
        page["results"].as_array().unwrap().iter().map(|p| id_of(p).to_owned()).collect()
    };
    let first = node.get("/v1/predictions").await.json();
    assert_eq!(ids_of(&first), ids[..100]);
    assert_eq!(first["previous"], Value::Null);
    let second = node.get(path_of(&first["next"])).await.json();
    assert_eq!((ids_of(&second), &second["next"]), (ids[100..].to_vec(), &Value::Null));
    let back = node.get(path_of(&second["previous"])).await.json();
    assert_eq!(ids_of(&back), ids[..100]);

    let tenth = &first["results"][9]["created_at"];
    let newer =
        node.get(&format!("/v1/predictions?created_after={}", tenth.as_str().unwrap())).await;
    assert_eq!(ids_of(&newer.json()), ids[..10]);
    let older =
        node.get(&format!("/v1/predictions?created_before={}", tenth.as_str().unwrap())).await;
    assert_eq!(ids_of(&older.json())[0], ids[10]);
    node.get("/v1/predictions?cursor=x").await.problem(422, "invalid_request");
    node.get("/v1/predictions?created_after=x").await.problem(422, "invalid_request");
}

#[tokio::test]
async fn an_error_is_a_problem_with_a_title_and_a_detail() {
    let node = TestNode::start();
    let problem = node.get("/v1/predictions/7").await.problem(404, "not_found");
    assert_eq!(problem["title"], "Not found");
    assert_eq!(problem["detail"], "there is no such prediction");
    assert_eq!(problem["instance"], "/v1/predictions/7");
}
