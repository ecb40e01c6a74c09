//! Reads `multipart/form-data` (RFC 7578) that lies in memory already; a part's content is not copied.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use memchr::memmem;

use crate::error::{Error, Result};

/// Far above what any route reads; each costs an entry only.
const PARTS_MAX: usize = 64;
/// RFC 2046 allows no longer boundary.
const BOUNDARY_MAX_CHARS: usize = 70;

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPart {
    pub name: String,
    /// What a part that is a file says of itself.
    pub file_name: Option<String>,
    pub content_type: Option<String>,
    pub content: Bytes,
}

/// The word between the parts, as the head of a request names it.
pub fn form_boundary(headers: &HeaderMap) -> Result<String> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = value.and_then(|value| parameter(value, "boundary")).unwrap_or_default();
    match boundary.len() {
        1..=BOUNDARY_MAX_CHARS => Ok(boundary),
        _ => Err(Error::MalformedForm("its content type names no boundary")),
    }
}

/// Every part, in its order.
pub fn read_form(body: &Bytes, boundary: &str) -> Result<Vec<FormPart>> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // The first delimiter begins the body, without a line end before it, or follows a preamble.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(_) => delimiter.len() - 2,
        None => finder.find(body).ok_or(CUT_SHORT)? + delimiter.len(),
    };
    let mut parts = Vec::new();
    loop {
        if body[rest..].starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == PARTS_MAX {
            return Err(Error::MalformedForm("it has too many parts"));
        }
        let line_end = memmem::find(&body[rest..], b"\r\n").ok_or(CUT_SHORT)?;
        if body[rest..rest + line_end].iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            return Err(Error::MalformedForm("a boundary does not end its line"));
        }
        // A part without headers begins with the empty line itself.
        let head_start = rest + line_end;
        let head = memmem::find(&body[head_start..], b"\r\n\r\n").ok_or(CUT_SHORT)?;
        let content_start = head_start + head + 4;
        // The line end before a delimiter may be the one that ends an empty part's head.
        let search_start = content_start - 2;
        let end = finder.find(&body[search_start..]).ok_or(CUT_SHORT)? + search_start;
        let (name, file_name, content_type) = read_head(&body[head_start..head_start + head])?;
        let content = body.slice(content_start..end.max(content_start));
        parts.push(FormPart { name, file_name, content_type, content });
        rest = end + delimiter.len();
    }
}

const CUT_SHORT: Error = Error::MalformedForm("a part does not end");

/// Its name, the name of its file, its content type.
fn read_head(head: &[u8]) -> Result<(String, Option<String>, Option<String>)> {
    let head = std::str::from_utf8(head)
        .map_err(|_| Error::MalformedForm("the head of a part is not UTF-8"))?;
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then_some(value.trim())
        })
    };
    let of_disposition = |wanted| {
        let value = header("content-disposition").and_then(|value| parameter(value, wanted));
        value.filter(|value| !value.is_empty())
    };
    let name = of_disposition("name").ok_or(Error::MalformedForm("a part has no name"))?;
    let content_type = header("content-type").filter(|value| !value.is_empty());
    Ok((name, of_disposition("filename"), content_type.map(str::to_owned)))
}

/// The parameter of that name in a header such as `form-data; name="n"; filename="a;b.png"`.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = &header[header.find(';')? + 1..];
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after.trim_start().trim_start_matches(';');
    }
}

/// The text up to the closing quote, and what follows it. Browsers write a quote as `%22`, mail as `\"`.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text.replace("%22", "\""), &quoted[at + 1..])),
            '\\' => text.push(characters.next()?.1),
            _ => text.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String)>> {
        let parts = read_form(&Bytes::from(body.replace('\n', "\r\n")), "XX")?;
        let text = |part: FormPart| (part.name, String::from_utf8(part.content.to_vec()).unwrap());
        Ok(parts.into_iter().map(text).collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn parts_are_told_apart_whatever_is_in_them() {
        let body = "preamble\n--XX  \n\
            Content-Type: image/png\ncontent-disposition: form-data; filename=\"a;name=b.png\"; name=\"image[]\"\n\n\
            \n--X\n--XX\n\
            Content-Disposition: form-data; name=n\n\n2\n--XX\n\
            Content-Disposition: form-data; name=\"empty\"\n\n\n--XX--\nepilogue";
        let expected = pairs(&[("image[]", "\r\n--X"), ("n", "2"), ("empty", "")]);
        assert_eq!(read(body).unwrap(), expected);
        assert!(read("--XX--").unwrap().is_empty());
    }

    #[test]
    fn a_file_says_its_name_and_its_type() {
        let body = "--XX\r\nContent-Type: image/png\r\n\
            Content-Disposition: form-data; name=\"content\"; filename=\"a b.png\"\r\n\r\n1\r\n--XX--";
        let part = read_form(&Bytes::from(body), "XX").unwrap().remove(0);
        assert_eq!(part.file_name.as_deref(), Some("a b.png"));
        assert_eq!(part.content_type.as_deref(), Some("image/png"));
        let bare = "--XX\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--XX--";
        let part = read_form(&Bytes::from(bare), "XX").unwrap().remove(0);
        assert_eq!((part.file_name, part.content_type), (None, None));
    }

    #[test]
    fn a_name_may_be_quoted_in_every_way() {
        let body = "--XX\nContent-Disposition: form-data; name=\"a\\\"b%22\"\n\n1\n--XX--\n";
        assert_eq!(read(body).unwrap(), pairs(&[("a\"b\"", "1")]));
    }

    #[test]
    fn a_form_that_is_torn_is_refused() {
        for body in [
            "",
            "no boundary",
            "--XX",
            "--XX\n",
            "--XXY\nContent-Disposition: form-data; name=\"a\"\n\n1\n--XX--",
            "--XX\nContent-Disposition: form-data; name=\"a\"\n\n1",
            "--XX\nContent-Disposition: form-data; name=\"a\"\n\n1\n--XX",
            "--XX\nContent-Disposition: form-data; name=\"a\n\n1\n--XX--",
            "--XX\nContent-Disposition: form-data; filename=\"a\"\n\n1\n--XX--",
            "--XX\n\n1\n--XX--",
        ] {
            assert!(matches!(read(body), Err(Error::MalformedForm(_))), "{body}");
        }
    }

    #[test]
    fn a_form_of_countless_parts_is_refused() {
        let part = "--XX\nContent-Disposition: form-data; name=\"a\"\n\n1\n";
        assert!(read(&format!("{}--XX--", part.repeat(PARTS_MAX))).is_ok());
        assert!(read(&format!("{}--XX--", part.repeat(PARTS_MAX + 1))).is_err());
    }

    #[test]
    fn the_boundary_comes_from_the_content_type() {
        let boundary = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            form_boundary(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)])).ok()
        };
        assert_eq!(boundary("multipart/form-data; boundary=a-b").as_deref(), Some("a-b"));
        let quoted = boundary("multipart/form-data; charset=utf-8; Boundary=\"a b\"");
        assert_eq!(quoted.as_deref(), Some("a b"));
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for value in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
            assert_eq!(boundary(value), None, "{value}");
        }
    }
}
