//! From an outbox row to the body of a Discord webhook. Pure; what the texts say is the user's own words,
//! so they are cut to Discord's limits, their markup is switched off, and nobody can be mentioned.

use serde_json::{Value, json};

use crate::ports::stores::OutboxRow;

const BLUE: u32 = 0x34_98DB;
const RED: u32 = 0xE7_4C3C;

const TITLE_MAX: usize = 256;
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 1_024;
const FOOTER_MAX: usize = 2_048;
/// Title, names, values and footer of all embeds of a message together.
const MESSAGE_MAX: usize = 6_000;
const FIELDS_MAX: usize = 25;

const SCENE_FIELDS: [&str; 5] = ["world", "era", "class", "pose", "decor"];

/// The message for a row, or `None` for an event that Discord is not told of.
pub fn message_of(row: &OutboxRow) -> Option<Value> {
    let (title, colour) = match row.event.as_str() {
        "scene.completed" => ("🌀 A scene is ready", BLUE),
        "scene.failed" => ("🔴 A scene failed", RED),
        _ => return None,
    };
    let footer = row.job_id.map_or_else(String::new, |id| format!("job {id}"));
    let mut budget = Budget { left: MESSAGE_MAX };
    let title = budget.take(title, TITLE_MAX);
    let footer = budget.take(&footer, FOOTER_MAX);
    let fields: Vec<Value> =
        lines_of(row).into_iter().take(FIELDS_MAX).filter_map(|line| budget.field(&line)).collect();
    Some(json!({
        "embeds": [{
            "title": title,
            "color": colour,
            "fields": fields,
            "footer": { "text": footer },
        }],
        "allowed_mentions": { "parse": [] },
    }))
}

struct Line {
    name: &'static str,
    value: String,
    is_inline: bool,
}

fn lines_of(row: &OutboxRow) -> Vec<Line> {
    let scene = &row.payload["scene"];
    let mut lines: Vec<Line> = SCENE_FIELDS
        .into_iter()
        .map(|name| {
            let value = scene[name].as_str().unwrap_or_default().to_owned();
            Line { name, value, is_inline: true }
        })
        .collect();
    if let Some(detail) = row.payload["error"]["detail"].as_str() {
        lines.push(Line { name: "error", value: detail.to_owned(), is_inline: false });
    }
    if let Some(run_ms) = row.payload["metadata"]["run_ms"].as_u64() {
        let value = format!("{}.{} s", run_ms / 1_000, run_ms % 1_000 / 100);
        lines.push(Line { name: "time", value, is_inline: true });
    }
    lines
}

/// What may still be said in this message.
struct Budget {
    left: usize,
}

impl Budget {
    fn take(&mut self, text: &str, max: usize) -> String {
        let cut = shorten(text, max.min(self.left));
        self.left = self.left.saturating_sub(length(&cut));
        cut
    }

    /// `None` when there is no room left for a name and anything of the value.
    fn field(&mut self, line: &Line) -> Option<Value> {
        if self.left <= length(line.name) {
            return None;
        }
        let name = self.take(line.name, NAME_MAX);
        // Discord refuses a message with an empty field.
        let value = match line.value.trim() {
            "" => self.take("—", VALUE_MAX),
            value => self.take(&without_markup(value), VALUE_MAX),
        };
        Some(json!({ "name": name, "value": value, "inline": line.is_inline }))
    }
}

/// Discord counts as JavaScript does.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn shorten(text: &str, max: usize) -> String {
    if length(text) <= max {
        return text.to_owned();
    }
    if max == 0 {
        return String::new();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.len_utf16();
        if used > max {
            break;
        }
        kept.push(character);
    }
    // Or an escape that lost what it escapes would take the ellipsis instead.
    let mut kept = kept.trim_end_matches('\\').to_owned();
    kept.push('…');
    kept
}

/// A link, a mention or a heading in somebody's scene would speak in our name.
fn without_markup(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(
            character,
            '\\' | '*'
                | '_'
                | '~'
                | '`'
                | '|'
                | '>'
                | '<'
                | '#'
                | '['
                | ']'
                | '('
                | ')'
                | '@'
                | ':'
        ) {
            plain.push('\\');
        }
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use shared::ids::JobId;
    use uuid::Uuid;

    use super::*;

    fn row(event: &str, payload: Value) -> OutboxRow {
        OutboxRow {
            id: "o-1".to_owned(),
            job_id: Some(JobId(Uuid::from_u128(5))),
            topic: "discord".to_owned(),
            event: event.to_owned(),
            payload,
            status: "pending".to_owned(),
            attempts: 1,
            last_error: None,
            created_at: None,
        }
    }

    fn scene(world: &str) -> Value {
        json!({"world": world, "era": "now", "class": "mage", "pose": "assis", "decor": "lune"})
    }

    fn total(message: &Value) -> usize {
        let embed = &message["embeds"][0];
        let fields = embed["fields"].as_array().unwrap();
        let texts = fields.iter().flat_map(|field| [&field["name"], &field["value"]]);
        texts
            .chain([&embed["title"], &embed["footer"]["text"]])
            .map(|text| length(text.as_str().unwrap()))
            .sum()
    }

    #[test]
    fn a_completed_scene_is_blue_with_its_five_fields() {
        let payload = json!({"scene": scene("ice"), "metadata": {"run_ms": 4321}});
        let message = message_of(&row("scene.completed", payload)).unwrap();
        let embed = &message["embeds"][0];
        assert_eq!(embed["color"], 0x3498DB);
        assert!(embed["title"].as_str().unwrap().contains('🌀'));
        let names: Vec<_> =
            embed["fields"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
        assert_eq!(names, ["world", "era", "class", "pose", "decor", "time"]);
        assert_eq!(embed["fields"][0]["value"], "ice");
        assert_eq!(embed["fields"][5]["value"], "4.3 s");
        assert!(embed["footer"]["text"].as_str().unwrap().ends_with("0005"));
        assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    }

    #[test]
    fn a_failed_scene_is_red_and_says_why() {
        let payload = json!({"scene": scene("ice"), "error": {"code": "x", "detail": "no room"}});
        let message = message_of(&row("scene.failed", payload)).unwrap();
        let embed = &message["embeds"][0];
        assert_eq!(embed["color"], 0xE74C3C);
        assert_eq!(
            embed["fields"][5],
            json!({"name": "error", "value": "no room", "inline": false})
        );
    }

    #[test]
    fn keeps_every_limit_however_long_the_texts_are() {
        let long = "🌀*".repeat(5_000);
        let scene = json!({"world": long, "era": long, "class": long, "pose": long, "decor": long});
        let payload = json!({"scene": scene, "error": {"detail": long}});
        let message = message_of(&row("scene.failed", payload)).unwrap();
        assert!(total(&message) <= MESSAGE_MAX, "{}", total(&message));
        for field in message["embeds"][0]["fields"].as_array().unwrap() {
            let value = field["value"].as_str().unwrap();
            assert!((1..=VALUE_MAX).contains(&length(value)), "{}", length(value));
        }
    }

    #[test]
    fn a_row_without_its_fields_still_makes_a_valid_message() {
        let message = message_of(&row("scene.completed", json!({}))).unwrap();
        assert_eq!(message["embeds"][0]["fields"][0]["value"], "—");
    }

    #[test]
    fn switches_markup_and_mentions_off() {
        let payload = json!({"scene": scene("[free](https://x.test) @everyone")});
        let message = message_of(&row("scene.completed", payload)).unwrap();
        assert_eq!(
            message["embeds"][0]["fields"][0]["value"],
            "\\[free\\]\\(https\\://x.test\\) \\@everyone"
        );
    }

    #[test]
    fn other_events_are_not_for_discord() {
        assert_eq!(message_of(&row("scene.cancelled", json!({}))), None);
    }
}
