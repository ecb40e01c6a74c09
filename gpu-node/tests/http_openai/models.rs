//! The list of models, and one of them.

use serde_json::json;

use super::support::TestNode;

#[tokio::test]
async fn one_model_is_described_as_in_the_list() {
    let node = TestNode::with_texts();
    let list = node.get("/v1/models").await.json();
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["tiny", "talker", "mute", "vectors"]);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(node.get(&format!("/v1/models/{id}")).await.json(), list["data"][index]);
    }
    assert_eq!(list["data"][1]["context_tokens"], 400);
    assert_eq!(list["data"][3]["context_tokens"], 400);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_404() {
    let node = TestNode::with_texts();
    let error = node.get("/v1/models/huge").await.openai_error(404, "model_not_found");
    assert_eq!(error["param"], json!("model"));
    assert_eq!(error["message"], "The model `huge` does not exist on this node");
}
