//! From a caller's request to an order for a text: the values of its prompt, the shape of its answer, its limits.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shared::{
    api::{
        assistant::AskAssistant,
        creator_tools::{CreateContentIdeas, CreateMessage, Creativity, OptimizePrice},
    },
    language::Language,
};

use super::prompts::{
    HISTORY_ITEM_MAX_CHARS, HISTORY_MAX, creativity_word, extra, one_line, platform_name,
};
use crate::ports::text::{AnswerShape, TextOrder};

/// Tokens of one idea with everything that may belong to it, in the most talkative language.
const IDEA_TOKENS: u64 = 260;
const SMALL_ANSWER_TOKENS: u64 = 400;

/// How freely messages and advice are written.
const TOOL_TEMPERATURE: f64 = 0.6;

fn values<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The order for content ideas. How many one call asks for, `generate.rs` decides.
pub fn ideas_order(ask: &CreateContentIdeas, language: Language, model: &str) -> TextOrder {
    let (profile, options) = (&ask.creator_profile, &ask.options);
    let history = &profile.performance_history;
    let words = profile.content_types.iter().map(|kind| kind.as_str().to_owned());
    let mut audience = profile.audience_preferences.clone();
    audience.extend(pairs_of(&history.engagement_patterns));
    audience.extend(pairs_of(&history.revenue_by_category));
    let platforms = options.target_platforms.iter().map(|one| platform_name(one.as_str()));
    let wanted =
        |is_wanted: bool, name| if is_wanted { extra(name, language) } else { String::new() };
    TextOrder {
        task: "content_ideas".to_owned(),
        model: model.to_owned(),
        language,
        values: values([
            ("niches", profile.niche.join(", ")),
            ("content_types", words.collect::<Vec<_>>().join(", ")),
            ("audience", audience.join(", ")),
            ("goals", profile.current_goals.join(", ")),
            ("equipment", profile.constraints.equipment.join(", ")),
            ("locations", profile.constraints.location.join(", ")),
            ("time_available", profile.constraints.time_availability.clone()),
            ("platforms", platforms.collect::<Vec<_>>().join(", ")),
            ("creativity", creativity_word(options.creativity.as_str(), language)),
            ("history", titles_of(&history.top_performing_content).join(", ")),
            ("with_captions", wanted(options.include_captions, "with_captions")),
            ("with_hashtags", wanted(options.include_hashtags, "with_hashtags")),
        ]),
        turns: Vec::new(),
        temperature: match options.creativity {
            Creativity::Conservative => 0.3,
            Creativity::Balanced => 0.7,
            Creativity::Creative => 1.0,
        },
        max_tokens: IDEA_TOKENS,
        shape: AnswerShape::Ideas {
            count: options.count,
            content_types: profile.content_types.clone(),
            with_captions: options.include_captions,
            with_hashtags: options.include_hashtags,
        },
    }
}

/// What was published: plain titles, or objects that have one.
fn titles_of(contents: &[Value]) -> Vec<String> {
    let title = |content: &Value| {
        let text = content.as_str().or_else(|| content.get("title")?.as_str())?;
        Some(one_line(text, HISTORY_ITEM_MAX_CHARS)).filter(|title| !title.is_empty())
    };
    contents.iter().filter_map(title).take(HISTORY_MAX).collect()
}

/// Simple members of an object, such as `bestDay Sunday`; what is nested says nothing in a line.
fn pairs_of(members: &Map<String, Value>) -> Vec<String> {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Some(format!("{name} {text}")),
        Value::Number(number) => Some(format!("{name} {number}")),
        _ => None,
    };
    let pairs = members.iter().filter_map(pair);
    pairs.map(|pair| one_line(&pair, HISTORY_ITEM_MAX_CHARS)).take(HISTORY_MAX).collect()
}

/// The order for a message.
pub fn message_order(ask: &CreateMessage, language: Language, model: &str) -> TextOrder {
    TextOrder {
        task: "message".to_owned(),
        model: model.to_owned(),
        language,
        values: values([
            ("purpose", ask.purpose.clone()),
            ("recipient", ask.recipient.clone()),
            ("tone", ask.tone.clone().unwrap_or_default()),
            ("context", ask.context.clone().unwrap_or_default()),
            ("template", ask.template.clone().unwrap_or_default()),
        ]),
        turns: Vec::new(),
        temperature: TOOL_TEMPERATURE,
        max_tokens: SMALL_ANSWER_TOKENS,
        shape: AnswerShape::Message,
    }
}

/// The order for advice on a price.
pub fn price_order(ask: &OptimizePrice, language: Language, model: &str) -> TextOrder {
    TextOrder {
        task: "pricing".to_owned(),
        model: model.to_owned(),
        language,
        values: values([
            ("content_type", ask.content_type.clone()),
            ("current_price", ask.current_price.to_string()),
            ("currency", ask.currency.clone()),
            ("audience", ask.audience.join(", ")),
            ("history", ask.history.join(", ")),
        ]),
        turns: Vec::new(),
        temperature: TOOL_TEMPERATURE,
        max_tokens: SMALL_ANSWER_TOKENS,
        shape: AnswerShape::Pricing,
    }
}

/// The order for an answer of the assistant.
pub fn assistant_order(ask: &AskAssistant, language: Language, model: &str) -> TextOrder {
    TextOrder {
        task: "assistant".to_owned(),
        model: model.to_owned(),
        language,
        values: values([("message", ask.message.clone())]),
        turns: ask.history.clone(),
        temperature: ask.temperature,
        max_tokens: ask.max_tokens,
        shape: AnswerShape::Text,
    }
}
