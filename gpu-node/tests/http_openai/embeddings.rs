//! Embeddings.

use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    EMBEDDINGS,
    support::{TestNode, fake_text::CONTEXT_TOKENS},
};

fn body(input: Value) -> Value {
    json!({ "model": "vectors", "input": input })
}

#[tokio::test]
async fn an_embedding_has_exactly_the_shape_of_openais() {
    let node = TestNode::with_texts();
    let answer = node.post(EMBEDDINGS, &body(json!(["dabc", "d"]))).await;
    let vector = |numbers: [f32; 4], index: usize| json!({ "object": "embedding", "index": index, "embedding": numbers });
    let expected = json!({
        "object": "list", "model": "vectors",
        "data": [vector([0.5; 4], 0), vector([1.0, 0.0, 0.0, 0.0], 1)],
        "usage": { "prompt_tokens": 5, "total_tokens": 5 },
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn an_input_may_be_text_or_tokens_or_several_of_either() {
    let node = TestNode::with_texts();
    for (input, count) in [
        (json!("d"), 1),
        (json!([100]), 1),
        (json!([[100], [100]]), 2),
        (json!(["d", "d", "d"]), 3),
    ] {
        let answer = node.post(EMBEDDINGS, &body(input)).await.json();
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), count);
        assert!(data.iter().all(|one| one["embedding"] == json!([1.0, 0.0, 0.0, 0.0])));
    }
}

#[tokio::test]
async fn base64_holds_little_endian_floats() {
    let node = TestNode::with_texts();
    let mut request = body(json!("ab"));
    request["encoding_format"] = json!("base64");
    let answer = node.post(EMBEDDINGS, &request).await.json();
    let bytes = BASE64_STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let numbers: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let half = 0.5_f32.sqrt();
    assert_eq!(numbers.len(), 4);
    assert!((numbers[1] - half).abs() < 1e-6 && (numbers[2] - half).abs() < 1e-6, "{numbers:?}");
}

#[tokio::test]
async fn fewer_dimensions_keep_the_first_numbers_at_length_one() {
    let node = TestNode::with_texts();
    let mut request = body(json!("abc"));
    request["dimensions"] = json!(2);
    let answer = node.post(EMBEDDINGS, &request).await.json();
    assert_eq!(answer["data"][0]["embedding"], json!([0.0, 1.0]));
    request["dimensions"] = json!(5);
    let error = node.post(EMBEDDINGS, &request).await.openai_error(400, "invalid_value");
    assert_eq!(error["param"], "dimensions");
}

#[tokio::test]
async fn what_cannot_be_embedded_is_named() {
    let node = TestNode::with_texts();
    let cases = [
        (json!(""), "input", "must not hold an empty text"),
        (json!(["a", ""]), "input", "must not hold an empty text"),
        (json!([]), "input", "must not be empty"),
        (json!([[]]), "input", "must not hold an empty text"),
        (json!({}), "input", "must be a string"),
        (json!([[1, 999]]), "input[0][1]", "not a token of this model"),
        (json!(vec!["a"; 2049]), "input", "at most 2048"),
    ];
    for (input, param, text) in cases {
        let answer = node.post(EMBEDDINGS, &body(input.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{input}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
    }
    let long = node.post(EMBEDDINGS, &body(json!("x".repeat(CONTEXT_TOKENS + 1)))).await;
    long.openai_error(400, "context_length_exceeded");
}

#[tokio::test]
async fn as_many_texts_as_the_table_says_fit_into_a_body() {
    let node = TestNode::with_texts();
    let texts = vec!["d".repeat(300); 2048];
    let answer = node.post(EMBEDDINGS, &body(json!(texts))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let wide = vec!["d".repeat(600); 2048];
    let answer = node.post(EMBEDDINGS, &body(json!(wide))).await;
    answer.openai_error(400, "context_length_exceeded");
}
