//! From an order to a checked answer: as many calls to nodes as it needs, and one more when the model got it wrong.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use shared::{
    api::assistant::{AnswerEvent, Speaker},
    node::text::{
        ChatMessage, ChatRequest, NamedSchema, ReasoningEffort, ResponseFormat, Role, StreamOptions,
    },
};

use super::{
    answers::{self, IdeaRules},
    prompts::{self, HISTORY_ITEM_MAX_CHARS, one_line},
    text_ports::TextPorts,
    write::{Progress, Written, write_text},
};
use crate::ports::text::{
    AnswerShape, IdeaDraft, TextAnswer, TextFailure, TextOrder, TextRun, TextSink,
};

/// Ideas asked for in one call: what fits a small model's context with everything about them.
const IDEAS_PER_CALL: u64 = 4;

/// Tries at an answer that must have a shape.
const TRIES: u64 = 2;

/// The most tokens that a run may take, prompts and answers of all its calls.
pub fn tokens_max(order: &TextOrder) -> Result<u64, TextFailure> {
    let request = request(order, &order.values, 1, 0)?;
    let bytes: usize = request
        .messages
        .iter()
        .filter_map(|message| message.content.as_ref())
        .map(String::len)
        .sum();
    // No tokenizer of ours needs more than a token for two bytes of plain language.
    let prompt_tokens = (bytes / 2) as u64;
    Ok(match &order.shape {
        AnswerShape::Text => prompt_tokens + order.max_tokens,
        AnswerShape::Ideas { count, .. } => {
            let calls = calls_max(*count);
            calls * prompt_tokens + (count + IDEAS_PER_CALL) * order.max_tokens
        }
        AnswerShape::Message | AnswerShape::Pricing => TRIES * (prompt_tokens + order.max_tokens),
    })
}

fn calls_max(count: u64) -> u64 {
    count.div_ceil(IDEAS_PER_CALL) + 1
}

/// Has the answer written, and checks it.
pub async fn generate(
    ports: &TextPorts<'_>,
    run: &TextRun,
    progress: &mut Progress,
    sink: &mut dyn TextSink,
) -> Result<TextAnswer, TextFailure> {
    let order = &run.order;
    match &order.shape {
        AnswerShape::Text => {
            let request = request(order, &order.values, 1, run.seed)?;
            let mut on_text = |text: &str| sink.tell(AnswerEvent::Delta { text: text.to_owned() });
            let Written { text, finish_reason } =
                write_text(ports, &request, true, progress, &mut on_text).await?;
            match text.is_empty() {
                true => Err(TextFailure::Empty),
                false => Ok(TextAnswer::Text { finish_reason }),
            }
        }
        AnswerShape::Ideas { .. } => ideas(ports, run, progress).await,
        AnswerShape::Message => {
            let shape = |text: &str| Some(TextAnswer::Message { message: answers::message(text)? });
            shaped(ports, run, progress, shape).await
        }
        AnswerShape::Pricing => {
            let shape = |text: &str| Some(TextAnswer::Pricing { price: answers::price(text)? });
            shaped(ports, run, progress, shape).await
        }
    }
}

async fn shaped(
    ports: &TextPorts<'_>,
    run: &TextRun,
    progress: &mut Progress,
    shape: impl Fn(&str) -> Option<TextAnswer>,
) -> Result<TextAnswer, TextFailure> {
    for attempt in 0..TRIES {
        let request = request(&run.order, &run.order.values, 1, run.seed + attempt)?;
        let written = write_text(ports, &request, false, progress, &mut |_| true).await?;
        if let Some(answer) = shape(&written.text) {
            return Ok(answer);
        }
        tracing::warn!(run = %run.run_id, task = run.order.task, "an answer could not be used");
    }
    Err(TextFailure::BadAnswer)
}

/// Ideas in calls of a few, each told what there is already. What is missing after one call more than needed stays
/// missing: nothing is made up here.
async fn ideas(
    ports: &TextPorts<'_>,
    run: &TextRun,
    progress: &mut Progress,
) -> Result<TextAnswer, TextFailure> {
    let order = &run.order;
    let AnswerShape::Ideas { count, content_types, with_captions, with_hashtags } = &order.shape
    else {
        return Err(TextFailure::Internal {
            cause: "an order for ideas of another shape".to_owned(),
        });
    };
    let rules =
        IdeaRules { content_types, with_captions: *with_captions, with_hashtags: *with_hashtags };
    let mut found: Vec<IdeaDraft> = Vec::new();
    let mut titles: HashSet<String> = HashSet::new();
    let mut useless = 0;
    for call in 0..calls_max(*count) {
        let missing = count.saturating_sub(found.len() as u64);
        if missing == 0 || useless == TRIES {
            break;
        }
        let wanted = missing.min(IDEAS_PER_CALL);
        let values = with_history(&order.values, wanted, &found);
        let request = request(order, &values, wanted, run.seed + call)?;
        let written = match write_text(ports, &request, false, progress, &mut |_| true).await {
            Ok(written) => written,
            // What there is is good, and was worked for.
            Err(failure) if !found.is_empty() => {
                tracing::warn!(run = %run.run_id, ?failure, "some ideas are missing");
                break;
            }
            Err(failure) => return Err(failure),
        };
        let before = found.len();
        for idea in answers::ideas(&written.text, rules).into_iter().take(wanted as usize) {
            if titles.insert(idea.title.trim().to_lowercase()) {
                found.push(idea);
            }
        }
        useless += u64::from(found.len() == before);
    }
    match found.is_empty() {
        true => Err(TextFailure::BadAnswer),
        false => Ok(TextAnswer::Ideas { ideas: found }),
    }
}

/// The newest first.
fn with_history(
    values: &BTreeMap<String, String>,
    count: u64,
    found: &[IdeaDraft],
) -> BTreeMap<String, String> {
    let mut values = values.clone();
    let published = values.remove("history").filter(|history| !history.is_empty());
    let titles = found.iter().rev().map(|idea| one_line(&idea.title, HISTORY_ITEM_MAX_CHARS));
    let history: Vec<String> = titles.chain(published).collect();
    values.insert("history".to_owned(), history.join(", "));
    values.insert("count".to_owned(), count.to_string());
    values
}

fn request(
    order: &TextOrder,
    values: &BTreeMap<String, String>,
    count: u64,
    seed: u64,
) -> Result<ChatRequest, TextFailure> {
    let prompt = prompts::render(&order.task, order.language, values)
        .ok_or_else(|| TextFailure::Internal { cause: format!("no prompt for {}", order.task) })?;
    let turns = order.turns.iter().map(|turn| {
        let role = match turn.role {
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        let max_chars = shared::limits::MESSAGE_MAX_CHARS;
        ChatMessage::new(role, one_line(&turn.content, max_chars))
    });
    let messages = std::iter::once(ChatMessage::new(Role::System, prompt.system))
        .chain(turns)
        .chain([ChatMessage::new(Role::User, prompt.user)])
        .collect();
    let schema = prompts::schema(&order.task).map(|schema| narrowed(schema, &order.shape, count));
    Ok(ChatRequest {
        model: order.model.clone(),
        messages,
        max_completion_tokens: Some((order.max_tokens * count) as usize),
        temperature: Some(order.temperature as f32),
        seed: Some(seed),
        response_format: schema.map(|schema| ResponseFormat::JsonSchema {
            json_schema: NamedSchema { name: order.task.clone(), schema, strict: true },
        }),
        // A caller pays for an answer: thoughts would eat up its tokens.
        reasoning_effort: Some(ReasoningEffort::None),
        stream: true,
        stream_options: Some(StreamOptions { include_usage: true, ..StreamOptions::default() }),
        ..ChatRequest::default()
    })
}

/// The schema of ideas for exactly what was asked; other schemas as they are.
fn narrowed(schema: &Value, shape: &AnswerShape, count: u64) -> Value {
    let mut schema = schema.clone();
    let AnswerShape::Ideas { content_types, with_captions, with_hashtags, .. } = shape else {
        return schema;
    };
    let Some(list) = schema.pointer_mut("/properties/ideas") else { return schema };
    list["minItems"] = json!(count);
    list["maxItems"] = json!(count);
    for (name, is_wanted) in [("caption", with_captions), ("hashtags", with_hashtags)] {
        if *is_wanted {
            continue;
        }
        if let Some(properties) =
            list.pointer_mut("/items/properties").and_then(Value::as_object_mut)
        {
            properties.shift_remove(name);
        }
        if let Some(required) = list.pointer_mut("/items/required").and_then(Value::as_array_mut) {
            required.retain(|required| required != name);
        }
    }
    if !content_types.is_empty()
        && let Some(kinds) = list.pointer_mut("/items/properties/contentType/enum")
    {
        *kinds = json!(content_types);
    }
    schema
}
