//! What a model wrote, checked again: its grammar says what may stand there, this says what does.

use serde::Deserialize;

use crate::ports::text::{IdeaDraft, PriceDraft};

/// A message may be as long as a person reads on a telephone.
const MESSAGE_MAX_CHARS: usize = 1_000;
const TEXT_MAX_CHARS: usize = 1_000;
const LIST_MAX: usize = 10;

/// What was asked of ideas.
#[derive(Debug, Clone, Copy)]
pub struct IdeaRules<'a> {
    pub content_types: &'a [shared::api::creator_tools::ContentType],
    pub with_captions: bool,
    pub with_hashtags: bool,
}

/// The ideas in an answer that keep the rules, even if the answer was cut off after them.
pub fn ideas(text: &str, rules: IdeaRules<'_>) -> Vec<IdeaDraft> {
    let drafts = objects_of_first_list(text).into_iter();
    drafts
        .filter_map(|object| serde_json::from_str::<IdeaDraft>(object).ok())
        .map(|idea| IdeaDraft {
            caption: idea.caption.filter(|_| rules.with_captions),
            hashtags: idea.hashtags.filter(|_| rules.with_hashtags),
            ..idea
        })
        .filter(|idea| is_sound(idea, rules))
        .collect()
}

fn is_sound(idea: &IdeaDraft, rules: IdeaRules<'_>) -> bool {
    let is_text = |text: &String| is_filled(text, TEXT_MAX_CHARS);
    let is_list =
        |list: &Vec<String>| (1..=LIST_MAX).contains(&list.len()) && list.iter().all(is_text);
    let is_wanted =
        rules.content_types.is_empty() || rules.content_types.contains(&idea.content_type);
    [&idea.title, &idea.description, &idea.time_required].into_iter().all(is_text)
        && is_list(&idea.tips)
        && is_wanted
        && idea.estimated_engagement <= 100
        && idea.estimated_revenue <= 100_000
        && idea.caption.as_ref().is_some_and(is_text) == rules.with_captions
        && idea.hashtags.as_ref().is_some_and(is_list) == rules.with_hashtags
}

/// The message, if there is one.
pub fn message(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Draft {
        message: String,
    }
    let draft: Draft = serde_json::from_str(text).ok()?;
    is_filled(&draft.message, MESSAGE_MAX_CHARS).then(|| draft.message.trim().to_owned())
}

/// The advice, if its figures are in order.
pub fn price(text: &str) -> Option<PriceDraft> {
    let draft: PriceDraft = serde_json::from_str(text).ok()?;
    let figures =
        [0.0, draft.min_price, draft.recommended_price, draft.max_price, shared::limits::PRICE_MAX];
    (figures.is_sorted() && is_filled(&draft.reasoning, TEXT_MAX_CHARS)).then_some(draft)
}

fn is_filled(text: &str, max_chars: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max_chars
}

/// The texts of the complete objects in the first list of a JSON text.
fn objects_of_first_list(text: &str) -> Vec<&str> {
    let Some(list) = text.find('[').and_then(|at| text.get(at + 1..)) else { return Vec::new() };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for (at, byte) in list.bytes().enumerate() {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            b'}' | b']' if depth == 0 => break,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    found.extend(list.get(start..=at));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RULES: IdeaRules<'_> =
        IdeaRules { content_types: &[], with_captions: false, with_hashtags: false };

    fn idea() -> Value {
        json!({
            "title": "A \"quoted\" [title]", "description": "d", "contentType": "photo",
            "estimatedEngagement": 60, "estimatedRevenue": 80, "difficulty": "easy",
            "timeRequired": "20 min", "tips": ["t"],
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut idea = idea();
        idea[name] = value;
        idea
    }

    fn count(ideas_in: &[Value], rules: IdeaRules<'_>) -> usize {
        ideas(&json!({"ideas": ideas_in}).to_string(), rules).len()
    }

    #[test]
    fn keeps_what_is_whole_of_an_answer_that_was_cut() {
        let text = json!({"ideas": [idea(), idea(), idea()]}).to_string();
        assert_eq!(ideas(&text, RULES).len(), 3);
        assert_eq!(ideas(&text[..text.len() - 20], RULES).len(), 2);
        assert_eq!(ideas(&text[..40], RULES).len(), 0);
        for text in ["", "[", "{}", "no", "[]]", "{\"ideas\":[}"] {
            assert_eq!(ideas(text, RULES).len(), 0, "{text}");
        }
    }

    #[test]
    fn drops_ideas_that_break_a_rule() {
        let wrong = [
            with("title", json!(" ")),
            with("contentType", json!("opera")),
            with("estimatedEngagement", json!(101)),
            with("estimatedRevenue", json!(-1)),
            with("difficulty", json!("impossible")),
            with("tips", json!([])),
            with("extra", json!(1)),
        ];
        for idea in wrong {
            assert_eq!(count(std::slice::from_ref(&idea), RULES), 0, "{idea}");
        }
        let videos = [shared::api::creator_tools::ContentType::Video];
        assert_eq!(count(&[idea()], IdeaRules { content_types: &videos, ..RULES }), 0);
    }

    #[test]
    fn captions_and_hashtags_stand_there_if_and_only_if_they_were_asked_for() {
        let rules = IdeaRules { with_captions: true, ..RULES };
        assert_eq!(count(&[idea()], rules), 0);
        assert_eq!(count(&[with("caption", json!("c"))], rules), 1);
        let unasked = json!({"ideas": [with("caption", json!("c"))]}).to_string();
        assert_eq!(ideas(&unasked, RULES)[0].caption, None);
    }

    #[test]
    fn a_price_must_lie_between_its_bounds() {
        let advice = |min: f64, best: f64, max: f64| {
            let draft = json!({
                "recommendedPrice": best, "minPrice": min, "maxPrice": max, "reasoning": "because",
            });
            price(&draft.to_string()).is_some()
        };
        assert!(advice(5.0, 7.5, 9.0) && advice(5.0, 5.0, 5.0));
        assert!(!advice(8.0, 7.5, 9.0) && !advice(5.0, 9.5, 9.0) && !advice(-1.0, 1.0, 2.0));
    }

    #[test]
    fn a_message_must_say_something() {
        assert_eq!(message(r#"{"message":" Hello "}"#).as_deref(), Some("Hello"));
        for text in [r#"{"message":" "}"#, "{}", "Hello", r#"{"message":"x","more":1}"#] {
            assert_eq!(message(text), None, "{text}");
        }
    }
}
