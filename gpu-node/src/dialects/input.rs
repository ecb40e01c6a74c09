//! An image order in the words that RunPod's and Replicate's models use, read as the node's own.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};
use shared::{errors::FieldError, node::image::ImageInput, validate::parse_body};

/// Other names of a field, and ours. `docs/dialects.md` has the table for callers.
pub const OTHER_NAMES: &[(&str, &str)] = &[
    ("num_inference_steps", "steps"),
    ("guidance_scale", "guidance"),
    ("num_outputs", "num_images"),
    ("num_images_per_prompt", "num_images"),
    ("output_format", "format"),
    ("output_quality", "quality"),
    ("prompt_strength", "strength"),
    ("image", "images"),
    ("image_url", "images"),
    ("init_image", "images"),
];

/// Names that diffusers and its hosts have for the methods we have.
const SCHEDULERS: &[(&str, &str)] = &[
    ("ddim", "ddim"),
    ("ddimscheduler", "ddim"),
    ("euler", "euler"),
    ("k_euler", "euler"),
    ("eulerdiscrete", "euler"),
    ("eulerdiscretescheduler", "euler"),
    ("euler_a", "euler_ancestral"),
    ("euler_ancestral", "euler_ancestral"),
    ("k_euler_ancestral", "euler_ancestral"),
    ("eulerancestraldiscrete", "euler_ancestral"),
    ("eulerancestraldiscretescheduler", "euler_ancestral"),
    ("dpmpp_multistep", "dpmpp_multistep"),
    ("dpmpp_2m", "dpmpp_multistep"),
    ("dpmsolver++", "dpmpp_multistep"),
    ("dpmsolvermultistep", "dpmpp_multistep"),
    ("dpmsolvermultistepscheduler", "dpmpp_multistep"),
    ("flow_match_euler", "flow_match_euler"),
    ("flowmatcheulerdiscrete", "flow_match_euler"),
    ("flowmatcheulerdiscretescheduler", "flow_match_euler"),
];

/// What an address leads to that is this node's own; nothing is fetched.
pub type HeldFile<'a> = &'a dyn Fn(&str) -> Option<Bytes>;

/// Reads an input, or says everything that is wrong with it, by the caller's own names.
pub fn read_image_input(
    input: &Map<String, Value>,
    held: HeldFile<'_>,
) -> Result<ImageInput, Vec<FieldError>> {
    let mut ours = Map::new();
    let mut errors = Vec::new();
    for (name, value) in input.iter().filter(|(_, value)| !value.is_null()) {
        let our_name = our_name(name);
        match convert(our_name, value, held) {
            Ok(Some(value)) => {
                if ours.insert(our_name.to_owned(), value).is_some() {
                    errors.push(wrong(name, "choice", "stands there twice, by another name"));
                }
            }
            Ok(None) => {}
            Err(detail) => errors.push(wrong(name, "format", detail)),
        }
    }
    let parsed = parse_body::<ImageInput>(&Value::Object(ours));
    match parsed {
        Ok(parsed) if errors.is_empty() => Ok(parsed),
        Ok(_) => Err(errors),
        Err(found) => {
            errors.extend(found.into_iter().map(|error| by_their_name(error, input)));
            Err(errors)
        }
    }
}

/// Puts errors of the node's own rules in the names that the caller wrote.
pub fn by_their_name(error: FieldError, input: &Map<String, Value>) -> FieldError {
    let mut steps = error.pointer.splitn(3, '/').skip(1);
    let (ours, rest) = (steps.next().unwrap_or_default(), steps.next());
    let theirs = OTHER_NAMES
        .iter()
        .find(|(theirs, name)| *name == ours && input.get(*theirs).is_some_and(|v| !v.is_null()))
        .map_or(ours, |(theirs, _)| theirs);
    let is_list = input.get(theirs).is_some_and(Value::is_array);
    let pointer = match rest {
        Some(rest) if is_list => format!("/{theirs}/{rest}"),
        _ => format!("/{theirs}"),
    };
    FieldError { pointer, ..error }
}

/// All errors of an input in one line for a person.
pub fn in_words(errors: &[FieldError]) -> String {
    let words = errors.iter().map(|error| match error.pointer.trim_start_matches('/') {
        "" => error.detail.clone(),
        path => format!("{} {}", path.replace('/', "."), error.detail),
    });
    words.collect::<Vec<_>>().join("; ")
}

fn our_name(name: &str) -> &str {
    OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours)
}

fn wrong(name: &str, code: &str, detail: &str) -> FieldError {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    FieldError { pointer, code: code.to_owned(), detail: detail.to_owned() }
}

/// The value as the node's own field takes it; `None` when it says as much as nothing.
fn convert(name: &str, value: &Value, held: HeldFile<'_>) -> Result<Option<Value>, &'static str> {
    let text = value.as_str();
    Ok(match (name, text) {
        // An encoder reads any white space as one space.
        ("prompt" | "negative_prompt", Some(text)) => {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            (name == "prompt" || !line.is_empty()).then(|| line.into())
        }
        ("seed", _) if value.as_i64() == Some(-1) => None,
        ("format", Some(text)) => Some(text.to_ascii_lowercase().into()),
        ("scheduler", Some(text)) => {
            let known = SCHEDULERS.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(text));
            Some(known.map_or(text, |(_, ours)| ours).into())
        }
        ("images", Some(text)) => Some(Value::Array(vec![file_of(text, held)?.into()])),
        ("images", None) => Some(match value.as_array() {
            Some(list) => list
                .iter()
                .map(|item| match item.as_str() {
                    Some(text) => file_of(text, held).map(Value::from),
                    None => Ok(item.clone()),
                })
                .collect::<Result<_, _>>()?,
            None => value.clone(),
        }),
        _ => Some(value.clone()),
    })
}

/// The base64 of a picture.
fn file_of<'a>(text: &'a str, held: HeldFile<'_>) -> Result<Cow<'a, str>, &'static str> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return match held(text) {
            Some(bytes) => Ok(STANDARD.encode(bytes).into()),
            None => Err(
                "must be a data URL or a file that this node holds: it fetches nothing for its callers",
            ),
        };
    }
    let Some(rest) = text.strip_prefix("data:") else { return Ok(text.into()) };
    let (about, data) = rest.split_once(',').ok_or("is a data URL without data")?;
    if about.ends_with(";base64") { Ok(data.into()) } else { Err("must be a data URL in base64") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::node::image::{ImageFormat, SchedulerKind};

    use super::*;

    fn read(input: Value) -> Result<ImageInput, Vec<FieldError>> {
        let held =
            |url: &str| (url == "http://node/v1/files/a").then(|| Bytes::from_static(b"ABC"));
        read_image_input(input.as_object().unwrap(), &held)
    }

    fn errors_of(input: Value) -> String {
        in_words(&read(input).unwrap_err())
    }

    #[test]
    fn the_names_of_diffusers_are_read_as_ours() {
        let read = read(json!({
            "prompt": "a fish\nin the  sea", "negative_prompt": "", "num_inference_steps": 20,
            "guidance_scale": 7.5, "num_outputs": 2, "output_format": "JPG", "output_quality": 80,
            "scheduler": "K_EULER", "seed": -1, "prompt_strength": 0.5,
            "image": "data:image/png;base64,QUJD",
        }))
        .unwrap();
        assert_eq!(read.prompt, "a fish in the sea");
        assert_eq!((read.negative_prompt, read.seed), (None, None));
        assert_eq!((read.steps, read.guidance, read.num_images), (Some(20), Some(7.5), Some(2)));
        assert_eq!((read.format, read.quality), (Some(ImageFormat::Jpeg), Some(80)));
        assert_eq!((read.scheduler, read.strength), (Some(SchedulerKind::Euler), Some(0.5)));
        assert_eq!(read.images, ["QUJD"]);
    }

    #[test]
    fn our_own_names_are_read_too() {
        let read = read(json!({ "prompt": "x", "steps": 3, "images": ["QUJD"], "seed": null }));
        let read = read.unwrap();
        assert_eq!((read.steps, read.images), (Some(3), vec!["QUJD".to_owned()]));
    }

    #[test]
    fn every_scheduler_we_name_is_one_we_have() {
        for (theirs, ours) in SCHEDULERS {
            assert!(ours.parse::<SchedulerKind>().is_ok(), "{theirs}");
        }
    }

    #[test]
    fn errors_have_the_callers_own_names() {
        let errors = errors_of(json!({ "num_inference_steps": 0, "hue": 3, "scheduler": "PNDM" }));
        assert_eq!(
            errors,
            "prompt is required; num_inference_steps must be between 1 and 150; scheduler must be \
             ddim, euler, euler_ancestral, dpmpp_multistep or flow_match_euler; hue is not a known \
             field"
        );
        assert_eq!(
            errors_of(json!({ "num_inference_steps": 3, "prompt": "x", "steps": 3 })),
            "steps stands there twice, by another name"
        );
        assert_eq!(
            errors_of(json!({ "prompt": "x", "images": ["", 7] })),
            "images.0 must not be empty; images.1 must be a string"
        );
    }

    #[test]
    fn a_picture_that_the_node_holds_is_read_by_its_address() {
        let url = "http://node/v1/files/a";
        for image in [json!(url), json!([url, "data:image/png;base64,QUJD"])] {
            let read = read(json!({ "prompt": "x", "image": image })).unwrap();
            assert!(read.images.iter().all(|image| image == "QUJD"), "{:?}", read.images);
        }
    }

    #[test]
    fn a_picture_comes_with_its_order_or_not_at_all() {
        for (url, words) in [
            ("https://example.com/a.png", "it fetches nothing"),
            ("data:image/png,abc", "in base64"),
            ("data:image/png;base64", "without data"),
        ] {
            let errors = errors_of(json!({ "prompt": "x", "image_url": url }));
            assert!(errors.starts_with("image_url ") && errors.contains(words), "{errors}");
        }
    }
}
