//! The embedded text model answers prompts it never saw: by their schemas always, on their topics mostly. What that
//! means is in `models/embedded-text/check/README.md`; `measure.rs` is its rules in Rust.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first thing that is wrong"
)]

mod measure;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use gpu_node::{
    engines::{
        Devices,
        text::{
            batching::{Batch, News, RequestId},
            request::{Constraint, TextEvent},
        },
    },
    registry::{Manifest, Registry, TextDefaults, load_text_model, load_words},
    text::{ChatOrder, Generation, ModelLanguage, SamplingWishes, ToolChoice, prepare_chat},
};
use measure::{Prompt, Rules};
use serde_json::{Map, Value};
use shared::node::text::{ChatMessage, Role};

/// The four tasks whose share the project promises.
const PROMISED: [&str; 4] = ["content_ideas", "message", "concepts", "quiz"];
/// What it promises.
const ON_TOPIC: f64 = 0.8;
/// An unoptimised build has time for one prompt in so many.
const STEP: usize = if cfg!(debug_assertions) { 29 } else { 1 };

fn models_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn check(name: &str) -> String {
    std::fs::read_to_string(models_dir().join("embedded-text/check").join(name)).unwrap()
}

fn prompts() -> Vec<Prompt> {
    let all: Vec<Prompt> =
        check("heldout.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 290);
    all.into_iter().step_by(STEP).collect()
}

fn schemas() -> HashMap<String, Value> {
    serde_json::from_str(&check("schemas.json")).unwrap()
}

fn order(manifest: &Manifest, prompt: &Prompt, schema: Option<&Value>) -> ChatOrder {
    let messages = vec![
        ChatMessage::new(Role::System, prompt.system.clone()),
        ChatMessage::new(Role::User, prompt.user.clone()),
    ];
    ChatOrder {
        model: manifest.name.clone(),
        messages,
        tools: Vec::new(),
        tool_choice: ToolChoice::None,
        callable: Vec::new(),
        parallel_tool_calls: true,
        format: schema.map(|schema| Constraint::JsonSchema(schema.clone())),
        reasoning_effort: None,
        template_values: Map::new(),
        generation: Generation {
            choices: 1,
            max_tokens: Some(1600),
            seed: Some(1),
            sampling: SamplingWishes { temperature: Some(0.0), ..SamplingWishes::default() },
            stop: Vec::new(),
        },
    }
}

/// The answers, all prompts in one batch.
fn answers(prompts: &[Prompt], schemas: &HashMap<String, Value>) -> Vec<String> {
    let registry = Registry::open(models_dir()).unwrap();
    let manifest = registry.find("embedded-text").unwrap();
    let defaults: &TextDefaults = manifest.defaults.text().unwrap();
    let words = Arc::new(load_words(manifest).unwrap());
    let loaded = load_text_model(manifest, &Devices::cpu(), &words).unwrap();
    let language = ModelLanguage::new(words, defaults.context_tokens);
    let mut batch = Batch::new(loaded, defaults.batch_settings(false)).unwrap();
    for (number, prompt) in (0_u64..).zip(prompts) {
        let order = order(manifest, prompt, schemas.get(&prompt.schema));
        let prepared = prepare_chat(&language, defaults, order).unwrap();
        batch.admit(RequestId(number), prepared.input).unwrap();
    }
    let (mut texts, mut left) = (vec![String::new(); prompts.len()], prompts.len());
    while left > 0 {
        for event in batch.step().events {
            match event.news {
                News::Emitted(TextEvent::Piece { text, .. }) => {
                    texts[event.request.0 as usize].push_str(&text);
                }
                News::Emitted(_) => {}
                News::Completed(_) => left -= 1,
                News::Failed(error) => panic!("prompt {}: {error}", event.request.0),
            }
        }
    }
    texts
}

#[test]
fn answers_follow_their_schemas_and_stay_on_topic() {
    let (prompts, schemas) = (prompts(), schemas());
    let rules = Rules::new(&check("words.json"));
    let (mut good, mut of, mut chance) = (0, 0, 0);
    let mut tallies: HashMap<&str, (usize, usize)> = HashMap::new();
    let texts = answers(&prompts, &schemas);
    for (index, (prompt, text)) in prompts.iter().zip(&texts).enumerate() {
        if let Some(schema) = schemas.get(&prompt.schema) {
            let answer: Value = serde_json::from_str(text).unwrap();
            let validator = jsonschema::validator_for(schema).unwrap();
            assert!(validator.is_valid(&answer), "prompt {index} is answered with {text}");
        }
        let is_good = rules.fault(prompt, text).is_none();
        let tally = tallies.entry(&prompt.task).or_default();
        *tally = (tally.0 + usize::from(is_good), tally.1 + 1);
        if PROMISED.contains(&&*prompt.task) {
            (good, of) = (good + usize::from(is_good), of + 1);
            // Against what another prompt of the task asks for, the same answer must fail.
            let same_task = prompts.iter().cycle().skip(index + 1);
            let other = same_task.take(prompts.len()).find(|other| other.task == prompt.task);
            chance += usize::from(other.is_some_and(|other| rules.fault(other, text).is_none()));
        }
    }
    eprintln!("{good} of {of} on topic, {chance} by chance: {tallies:?}");
    if STEP == 1 {
        assert!(good as f64 >= ON_TOPIC * of as f64, "{good} of {of} on topic");
        assert!(chance * 20 < of, "the measure passes {chance} of {of} answers to other prompts");
    }
}

#[test]
fn the_measure_passes_the_reference_answers_and_catches_wrong_ones() {
    let rules = Rules::new(&check("words.json"));
    for prompt in prompts().iter().filter(|prompt| PROMISED.contains(&&*prompt.task)) {
        assert_eq!(rules.fault(prompt, &prompt.reference), None, "{}", prompt.reference);
        assert!(rules.fault(prompt, "{}").is_some() && rules.fault(prompt, "no JSON").is_some());
    }
}
