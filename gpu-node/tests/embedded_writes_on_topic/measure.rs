//! Whether an answer is about what was asked: one rule per task. It finds words, not sense.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

/// A held-out prompt and what an answer to it must hold.
#[derive(Debug, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) task: String,
    pub(crate) lang: String,
    pub(crate) system: String,
    pub(crate) user: String,
    pub(crate) schema: String,
    pub(crate) expect: Value,
    pub(crate) reference: String,
}

/// The rules, with the function words that tell languages apart.
pub(crate) struct Rules {
    function_words: HashMap<String, HashSet<String>>,
}

type Check = Result<(), &'static str>;

fn normal(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(|letter: char| !letter.is_alphabetic());
    parts.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn holds(whole: &str, part: &str) -> bool {
    normal(whole).contains(&normal(part))
}

fn ensure(is_so: bool, fault: &'static str) -> Check {
    if is_so { Ok(()) } else { Err(fault) }
}

fn all_differ<T: Eq + std::hash::Hash>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

fn list<'a>(answer: &'a Value, key: &str) -> Result<&'a Vec<Value>, &'static str> {
    answer[key].as_array().filter(|items| !items.is_empty()).ok_or("nothing in it")
}

impl Rules {
    /// `function_words` is `words.json` of the check.
    pub(crate) fn new(function_words: &str) -> Self {
        Self { function_words: serde_json::from_str(function_words).unwrap() }
    }

    /// Why an answer is not on topic.
    pub(crate) fn fault(&self, prompt: &Prompt, answer: &str) -> Option<&'static str> {
        let expect = &prompt.expect;
        if prompt.task == "assistant" {
            return ensure(holds(answer, text(expect, "niche")), "niche missing")
                .and_then(|()| self.language(&prompt.lang, answer))
                .err();
        }
        let Ok(answer) = serde_json::from_str::<Value>(answer) else { return Some("not JSON") };
        let found = match &*prompt.task {
            "content_ideas" => ideas(&answer, expect),
            "message" => message(&answer, expect),
            "concepts" => concepts(&answer, expect),
            "quiz" => quiz(&answer, expect),
            "pricing" => pricing(&answer, expect),
            _ => Err("unknown task"),
        };
        let is_translated = prompt.task == "concepts";
        found
            .and_then(|()| match is_translated {
                true => Ok(()),
                false => self.language(&prompt.lang, &strings(&answer).join(" ")),
            })
            .err()
    }

    /// The asked language's function words are the most frequent, or as frequent as any.
    fn language(&self, wanted: &str, answer: &str) -> Check {
        let found = words(answer);
        let count = |known: &HashSet<String>| found.iter().filter(|w| known.contains(*w)).count();
        let best = self.function_words.values().map(count).max().unwrap_or(0);
        let own = self.function_words.get(wanted).map_or(0, count);
        ensure(best > 0 && own == best, "language")
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn ideas(answer: &Value, expect: &Value) -> Check {
    let ideas = list(answer, "ideas")?;
    ensure(all_differ(ideas.iter().map(|idea| normal(text(idea, "title")))), "title twice")?;
    let (niches, formats) = (texts(&expect["niches"]), texts(&expect["formats"]));
    for idea in ideas {
        let said = format!("{} {}", text(idea, "title"), text(idea, "description"));
        ensure(niches.iter().any(|niche| holds(&said, niche)), "niche missing")?;
        ensure(formats.contains(&text(idea, "contentType")), "format not asked for")?;
    }
    Ok(())
}

fn message(answer: &Value, expect: &Value) -> Check {
    let said = normal(text(answer, "message"));
    ensure(holds(&said, text(expect, "recipient")), "recipient missing")?;
    ensure(holds(&said, text(expect, "subject")), "subject missing")?;
    ensure(texts(&expect["signs"]).iter().any(|sign| said.contains(sign)), "purpose missing")
}

fn concepts(answer: &Value, expect: &Value) -> Check {
    let row = |concept: &Value| {
        ["name", "fr", "en", "es", "it", "de"].map(|key| normal(text(concept, key)))
    };
    let rows: Vec<_> = list(answer, "concepts")?.iter().map(row).collect();
    ensure(all_differ(&rows), "concept twice")?;
    let known: Vec<_> =
        expect["rows"].as_array().into_iter().flatten().map(|row| texts(row)).collect();
    let name = text(expect, "name");
    for row in &rows {
        match known.is_empty() {
            true => ensure(row.iter().all(|text| holds(text, name)), "name missing")?,
            false => ensure(known.iter().any(|known| known == row), "not in the field")?,
        }
    }
    Ok(())
}

fn quiz(answer: &Value, expect: &Value) -> Check {
    let questions = list(answer, "questions")?;
    let asked = questions.iter().map(|question| normal(text(question, "question")));
    ensure(all_differ(asked), "question twice")?;
    for question in questions {
        let asked = text(question, "question");
        ensure(holds(asked, text(expect, "subject")), "subject missing")?;
        let choices: Vec<_> = texts(&question["choices"]).into_iter().map(normal).collect();
        ensure(choices.len() == 4 && all_differ(&choices), "choice twice")?;
        let right = normal(text(fact_asked_for(asked, expect), "value"));
        let place = choices.iter().position(|choice| *choice == right);
        let place = place.ok_or("right answer missing")?;
        ensure(question["answer"] == place, "wrong answer marked")?;
    }
    Ok(())
}

/// The fact most of whose words are in the question; of equals the first.
fn fact_asked_for<'a>(question: &str, expect: &'a Value) -> &'a Value {
    let found: HashSet<_> = words(question).into_iter().collect();
    let share = |fact: &Value| {
        let keys = texts(&fact["keys"]);
        keys.iter().filter(|key| found.contains(**key)).count() as f64 / keys.len() as f64
    };
    let facts = expect["facts"].as_array().into_iter().flatten();
    facts.fold(&Value::Null, |best, fact| match best {
        Value::Null => fact,
        best if share(fact) > share(best) => fact,
        best => best,
    })
}

fn pricing(answer: &Value, expect: &Value) -> Check {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let [low, best, high] =
        ["minPrice", "recommendedPrice", "maxPrice"].map(|key| number(&answer[key]));
    ensure(low <= best && best <= high, "prices out of order")?;
    let price = number(&expect["price"]);
    let moves_well = match text(expect, "trend") {
        "up" => best > price,
        "down" => best < price,
        _ => (best - price).abs() <= 0.1 * price,
    };
    ensure(moves_well, "against the sales")?;
    ensure(holds(text(answer, "reasoning"), text(expect, "content")), "content missing")
}
