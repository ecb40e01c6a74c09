//! Paths as they may be shown: whoever knows the key in a file's address may fetch it.

use std::borrow::Cow;

/// Where such addresses begin.
const FILES: [&str; 2] = ["v1", "files"];
/// A key is 128 bits in hexadecimal digits.
const KEY_CHARS: usize = 32;

/// The path without keys, whether or not a route has it: a tail or a slash too many makes none of them public.
pub(super) fn without_keys(path: &str) -> Cow<'_, str> {
    let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    let files = steps.windows(2).position(|pair| pair == FILES);
    match files.map(|index| index + FILES.len()).filter(|end| *end < steps.len()) {
        Some(end) => format!("/{}/…", steps[..end].join("/")).into(),
        None if steps.iter().any(|step| is_key(step)) => {
            let shown = steps.iter().map(|step| if is_key(step) { "…" } else { step });
            format!("/{}", shown.collect::<Vec<&str>>().join("/")).into()
        }
        None => path.into(),
    }
}

fn is_key(step: &str) -> bool {
    step.len() == KEY_CHARS && step.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn no_spelling_of_a_files_address_shows_its_key() {
        for path in [
            format!("/v1/files/pele75/{KEY}/0.png"),
            format!("/v1/files/pele75/{KEY}/0.png/more"),
            format!("/v1/files/pele75/{KEY}"),
            format!("//v1//files/pele75/{KEY}/0.png"),
            format!("/v1/v1/files/{KEY}"),
            "/v1/files/pele75/another-key/stream".to_owned(),
        ] {
            let shown = without_keys(&path);
            assert!(!shown.contains("key") && !shown.contains(KEY), "{shown}");
            assert!(shown.ends_with("/v1/files/…"), "{shown}");
        }
        assert_eq!(without_keys(&format!("/files//{KEY}/0.png")), "/files/…/0.png");
    }

    #[test]
    fn every_other_path_is_shown_as_it_is() {
        for path in
            ["/", "/v1/files", "//v1/models/", "/v1/jobs/79164ff4-d212-44bc-9fe3-389e199a5c15"]
        {
            assert_eq!(without_keys(path), path);
        }
    }
}
