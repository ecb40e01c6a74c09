//! The parameters of generation that chat and completions have in common.

use super::fields::{Fields, Item};
use crate::text::{Generation, SamplingWishes};

/// Texts that may end an answer.
const STOPS_MAX: usize = 4;

/// Continuations of one prompt.
pub(super) const CHOICES_MAX: u32 = 128;

/// Reads everything but the bounds on tokens and the log-probabilities, whose names differ.
pub(super) fn read_generation(fields: &mut Fields<'_, '_>) -> Generation {
    let sampling = SamplingWishes {
        temperature: fields.number("temperature", 0.0, 2.0),
        top_p: fields.number("top_p", 0.0, 1.0),
        top_k: read_top_k(fields),
        min_p: fields.number("min_p", 0.0, 1.0),
        presence_penalty: fields.number("presence_penalty", -2.0, 2.0),
        frequency_penalty: fields.number("frequency_penalty", -2.0, 2.0),
        repetition_penalty: fields.number("repetition_penalty", 0.1, 10.0),
        logit_bias: fields.item("logit_bias").map(read_bias).unwrap_or_default(),
        logprobs: None,
    };
    Generation {
        choices: fields.count("n", 1, CHOICES_MAX).unwrap_or(1),
        max_tokens: None,
        seed: fields.integer("seed", i64::MIN, i64::MAX).map(i64::cast_unsigned),
        sampling,
        stop: fields.item("stop").map(read_stop).unwrap_or_default(),
    }
}

fn read_top_k(fields: &mut Fields<'_, '_>) -> Option<Option<usize>> {
    let count = fields.integer("top_k", -1, u32::MAX.into())?;
    Some(usize::try_from(count).ok().filter(|count| *count > 0))
}

fn read_bias(mut item: Item<'_, '_>) -> Vec<(u32, f32)> {
    let Some(map) = item.value.as_object() else {
        item.reject("type", "must be an object of token ids and numbers");
        return Vec::new();
    };
    let mut biases = Vec::with_capacity(map.len());
    for (token, bias) in map {
        match (token.parse(), bias.as_f64()) {
            (Ok(token), Some(bias)) if (-100.0..=100.0).contains(&bias) => {
                biases.push((token, bias as f32));
            }
            (Err(_), _) => item.reject("format", "must have token ids as its names"),
            _ => item.reject("range", "must have numbers between -100 and 100"),
        }
    }
    biases
}

fn read_stop(mut item: Item<'_, '_>) -> Vec<String> {
    let stops: Vec<String> = match item.value.as_str() {
        Some(text) => vec![text.to_owned()],
        None => item.each(|stop| stop.text().map(str::to_owned)),
    };
    if stops.len() > STOPS_MAX {
        item.reject("too_long", format!("must have at most {STOPS_MAX} texts"));
    }
    if stops.iter().any(String::is_empty) {
        item.reject("empty", "must not hold an empty text");
    }
    stops
}

/// What a stream is to say beside its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streaming {
    pub is_wanted: bool,
    pub include_usage: bool,
    pub include_obfuscation: bool,
}

/// Reads `stream` and `stream_options`; not every route has a place for padding.
pub(super) fn read_streaming(fields: &mut Fields<'_, '_>, can_obfuscate: bool) -> Streaming {
    let is_wanted = fields.flag("stream").unwrap_or(false);
    if !is_wanted && fields.has("stream_options") {
        fields.reject("stream_options", "conflict", "is only allowed when `stream` is true");
    }
    let options = fields.object("stream_options", |options| Streaming {
        is_wanted,
        include_usage: options.flag("include_usage").unwrap_or(false),
        include_obfuscation: can_obfuscate && options.flag("include_obfuscation").unwrap_or(false),
    });
    options.unwrap_or(Streaming { is_wanted, ..Streaming::default() })
}
