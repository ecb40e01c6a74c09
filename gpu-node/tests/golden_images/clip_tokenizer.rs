//! Prompts become ids as the reference makes them, whatever files a repository ships beside its vocabulary.

use gpu_node::engines::image::text_encoders::PromptTokenizer;
use serde_json::Value;

use crate::support::{golden_json, tiny};

const MODEL: &str = "stable-diffusion";

fn ids_of(files: &Value, prompts: &[String]) -> Vec<Vec<u32>> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        let path = tiny(MODEL).join("tokenizer").join(name);
        std::fs::copy(path, folder.path().join(name)).unwrap();
    }
    for (name, values) in files.as_object().unwrap() {
        std::fs::write(folder.path().join(name), values.to_string()).unwrap();
    }
    let tokenizer = PromptTokenizer::load(folder.path(), 16).unwrap();
    prompts.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect()
}

#[test]
fn special_tokens_are_those_of_the_files_beside_the_vocabulary() {
    let golden = golden_json(MODEL, "tokenizers");
    let prompts: Vec<String> = serde_json::from_value(golden["prompts"].clone()).unwrap();
    let tokenizers = golden["tokenizers"].as_array().unwrap();
    assert_eq!(tokenizers.len(), 6);
    for tokenizer in tokenizers {
        let expected: Vec<Vec<u32>> = serde_json::from_value(tokenizer["ids"].clone()).unwrap();
        let found = ids_of(&tokenizer["files"], &prompts);
        assert_eq!(found, expected, "{}", tokenizer["name"]);
    }
}
