//! `/v1/files`: what Replicate's clients upload before they order, when a file object stands in an input.

use axum::{
    Json,
    extract::{Path, Request, State},
    http::StatusCode,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use shared::{errors::FieldError, limits::INPUT_IMAGE_MAX_BYTES};

use super::find::find_upload;
use crate::{
    blocking::blocking,
    dialects::{
        ids::{parse_id, replicate_id},
        replicate::calendar,
    },
    error::{Error, Result},
    http::{
        base::BaseUrl,
        body::read_bytes,
        extract::has_content_type,
        form::{FormPart, form_boundary, read_form},
    },
    state::AppState,
    uploads::{Upload, UploadHead},
};

const NAME_MAX_CHARS: usize = 255;
const CONTENT_TYPE_MAX_CHARS: usize = 127;
const METADATA_MAX_BYTES: usize = 16 * 1024;
/// Larger than a file by what stands around it in a form.
pub const UPLOAD_BODY_MAX_BYTES: usize = INPUT_IMAGE_MAX_BYTES + 64 * 1024;

/// `POST /v1/files`: a form whose part `content` is the file.
pub async fn create_file(
    State(state): State<AppState>,
    BaseUrl(base): BaseUrl,
    request: Request,
) -> Result<(StatusCode, Json<Value>)> {
    if !has_content_type(request.headers(), "multipart/form-data") {
        return Err(Error::NotAForm);
    }
    let boundary = form_boundary(request.headers())?;
    let bytes = read_bytes(request).await?;
    let keep = move || {
        let (head, content) = read_upload(read_form(&bytes, &boundary)?)?;
        // A part lies in the body's memory: a copy lets that go.
        Ok::<_, Error>(state.uploads.keep(head, Bytes::copy_from_slice(&content)))
    };
    let upload = blocking(keep).await??;
    Ok((StatusCode::CREATED, Json(describe(&upload, &base))))
}

/// `GET /v1/files`: all of them on one page, the newest first.
pub async fn list_files(State(state): State<AppState>, BaseUrl(base): BaseUrl) -> Json<Value> {
    let results: Vec<Value> =
        state.uploads.list().iter().map(|upload| describe(upload, &base)).collect();
    Json(json!({ "next": null, "previous": null, "results": results }))
}

/// `GET /v1/files/{id}`: what is known of it.
pub async fn find_file(
    State(state): State<AppState>,
    Path(id): Path<String>,
    BaseUrl(base): BaseUrl,
) -> Result<Json<Value>> {
    Ok(Json(describe(&*find_upload(&state, &id)?, &base)))
}

/// `DELETE /v1/files/{id}`.
pub async fn delete_file(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    match parse_id(&id) {
        Some(id) if state.uploads.remove(id) => Ok(StatusCode::NO_CONTENT),
        _ => Err(Error::NotFound("file")),
    }
}

fn describe(upload: &Upload, base: &str) -> Value {
    let id = replicate_id(upload.id);
    json!({
        "id": id,
        "name": upload.head.name,
        "content_type": upload.head.content_type,
        "size": upload.content.len(),
        "etag": upload.sha256,
        "checksums": { "sha256": upload.sha256 },
        "metadata": upload.head.metadata,
        "created_at": calendar(upload.created_at),
        "expires_at": calendar(upload.expires_at),
        "urls": { "get": format!("{base}/v1/files/{id}") },
    })
}

fn read_upload(parts: Vec<FormPart>) -> Result<(UploadHead, Bytes)> {
    let (mut content, mut name, mut content_type) = (None, None, None);
    let (mut metadata, mut seen, mut errors) = (Map::new(), Vec::<String>::new(), Vec::new());
    for part in parts {
        let text = || std::str::from_utf8(&part.content).ok().map(str::to_owned);
        let problem = match part.name.as_str() {
            again if seen.iter().any(|name| name == again) => Some("is given twice"),
            "content" => {
                name = name.or(part.file_name);
                content_type = content_type.or(part.content_type);
                content = Some(part.content);
                None
            }
            "filename" => set(&mut name, text(), NAME_MAX_CHARS),
            "type" => set(&mut content_type, text(), CONTENT_TYPE_MAX_CHARS),
            "metadata" => match read_metadata(&part.content) {
                Some(read) => {
                    metadata = read;
                    None
                }
                None => Some("must be a JSON object of at most 16 KiB"),
            },
            _ => Some("is not a known field"),
        };
        if let Some(detail) = problem {
            errors.push(wrong(&part.name, detail));
        }
        seen.push(part.name);
    }
    match &content {
        None => errors.push(wrong("content", "is required")),
        Some(content) if content.is_empty() => errors.push(wrong("content", "must not be empty")),
        Some(content) if content.len() > INPUT_IMAGE_MAX_BYTES => {
            return Err(Error::BodyTooLarge { max_bytes: INPUT_IMAGE_MAX_BYTES });
        }
        Some(_) => {}
    }
    if !errors.is_empty() {
        return Err(Error::InvalidFields(errors));
    }
    let cut = |text: String, max: usize| text.chars().take(max).collect::<String>();
    let head = UploadHead {
        name: cut(name.unwrap_or_else(|| "file".to_owned()), NAME_MAX_CHARS),
        content_type: cut(
            content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            CONTENT_TYPE_MAX_CHARS,
        ),
        metadata,
    };
    Ok((head, content.unwrap_or_default()))
}

/// A part that says something of the file wins over the head of the file's own part.
fn set(
    target: &mut Option<String>,
    text: Option<String>,
    max_chars: usize,
) -> Option<&'static str> {
    match text {
        Some(text) if (1..=max_chars).contains(&text.chars().count()) => {
            *target = Some(text);
            None
        }
        _ => Some("must be a short text"),
    }
}

fn read_metadata(content: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(content) {
        Ok(Value::Object(metadata)) if content.len() <= METADATA_MAX_BYTES => Some(metadata),
        _ => None,
    }
}

fn wrong(name: &str, detail: &str) -> FieldError {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    FieldError { pointer, code: "format".to_owned(), detail: detail.to_owned() }
}
