//! The two requests a pull makes of a hub: what a file is, and its bytes from some place on.

use std::time::Duration;

use reqwest::{
    Method, StatusCode, Url,
    blocking::{Client, Response},
    header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderName, LOCATION, RANGE, RETRY_AFTER},
    redirect::Policy,
};

use super::{
    error::HubError,
    settings::{HubSettings, Token},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the beginning of an answer, and for each read of its body.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 10;
const MOST_WAIT: Duration = Duration::from_secs(120);

const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
const CONTENT_LENGTH: HeaderName = HeaderName::from_static("content-length");

/// A file of a repository at a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct RemoteFile<'a> {
    pub(super) repository: &'a str,
    pub(super) revision: &'a str,
    pub(super) path: &'a str,
}

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFacts {
    /// A plain name: the file is kept under it.
    pub(super) etag: String,
    pub(super) bytes: u64,
}

/// A body, and the byte of the file that it begins with.
pub(super) struct Body {
    pub(super) response: Response,
    pub(super) starts_at: u64,
}

/// A line to one hub.
pub(super) struct HubClient {
    http: Client,
    endpoint: Url,
    token: Option<Token>,
}

impl HubClient {
    pub(super) fn new(settings: &HubSettings) -> Result<Self, HubError> {
        // An error means that a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(SILENCE_TIMEOUT)
            .user_agent(concat!("chandelle/", env!("CARGO_PKG_VERSION")))
            // Followed by hand: the token is for the hub and for nobody it points to.
            .redirect(Policy::none())
            .build()
            .map_err(|error| unreachable(&settings.endpoint, error))?;
        Ok(Self { http, endpoint: settings.endpoint.clone(), token: settings.token.clone() })
    }

    /// Asks for a file's ETag and size, which the hub itself tells before it points elsewhere.
    pub(super) fn facts(&self, file: RemoteFile<'_>) -> Result<FileFacts, HubError> {
        let mut url = self.url(file)?;
        for _ in 0..MOST_REDIRECTS {
            let response = self.send(Method::HEAD, &url, None)?;
            let next = redirect(&url, &response);
            if let Some(next) = next.as_ref().filter(|next| self.is_hub(next))
                && !response.headers().contains_key(LINKED_ETAG)
            {
                url = next.clone();
            } else if next.is_some() || response.status().is_success() {
                return facts_of(&response, file);
            } else {
                return Err(self.refusal(&response, &url, file));
            }
        }
        Err(unexpected(file, "it points from one address to the next without an end"))
    }

    /// Asks for a file's bytes; the answer may begin earlier than asked.
    pub(super) fn open(&self, file: RemoteFile<'_>, from: u64) -> Result<Body, HubError> {
        let mut url = self.url(file)?;
        for _ in 0..MOST_REDIRECTS {
            let response = self.send(Method::GET, &url, (from > 0).then_some(from))?;
            if let Some(next) = redirect(&url, &response) {
                url = next;
                continue;
            }
            return match response.status() {
                StatusCode::OK => Ok(Body { response, starts_at: 0 }),
                StatusCode::PARTIAL_CONTENT => {
                    let range = header(&response, &CONTENT_RANGE).and_then(range_start);
                    match range {
                        Some(starts_at) if starts_at == from => Ok(Body { response, starts_at }),
                        _ => Err(unexpected(file, "it is another part than the one asked for")),
                    }
                }
                _ => Err(self.refusal(&response, &url, file)),
            };
        }
        Err(unexpected(file, "it points from one address to the next without an end"))
    }

    fn send(&self, method: Method, url: &Url, from: Option<u64>) -> Result<Response, HubError> {
        let mut request = self.http.request(method, url.clone());
        // A compressed body has another length than the file.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(url)) {
            request = request.bearer_auth(token.expose());
        }
        if let Some(from) = from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request.send().map_err(|error| unreachable(url, error))
    }

    fn is_hub(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    fn url(&self, file: RemoteFile<'_>) -> Result<Url, HubError> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| HubError::Endpoint(self.endpoint.to_string()))?
            .pop_if_empty()
            .extend(file.repository.split('/'))
            .extend(["resolve", file.revision])
            .extend(file.path.split('/'));
        Ok(url)
    }

    /// Where a person reads of the repository, and accepts its terms.
    fn page(&self, repository: &str) -> String {
        format!("{}/{repository}", self.endpoint.as_str().trim_end_matches('/'))
    }

    fn refusal(&self, response: &Response, url: &Url, file: RemoteFile<'_>) -> HubError {
        let status = response.status();
        let code = header(response, &ERROR_CODE).unwrap_or_default();
        let told = header(response, &ERROR_MESSAGE).unwrap_or(code);
        let (repository, page) = (file.repository.to_owned(), self.page(file.repository));
        let detail =
            if told.is_empty() { format!("it answered {status}") } else { told.to_owned() };
        match (status, self.is_hub(url)) {
            (StatusCode::UNAUTHORIZED, true) if self.token.is_none() => {
                HubError::TokenNeeded { repository, page, detail }
            }
            (StatusCode::UNAUTHORIZED, true) => HubError::TokenRefused { repository, page, detail },
            (StatusCode::FORBIDDEN, true) => HubError::Gated { repository, page, detail },
            (StatusCode::NOT_FOUND, true) => {
                let what = match code {
                    "RepoNotFound" => format!("repository {repository}"),
                    "RevisionNotFound" => format!("commit {} of {repository}", file.revision),
                    _ => format!("{} in {repository} at {}", file.path, file.revision),
                };
                HubError::NotThere { what, detail }
            }
            _ => HubError::Refused {
                host: host(url),
                status: status.as_u16(),
                path: file.path.to_owned(),
                detail: if told.is_empty() { String::new() } else { format!(": {told}") },
                wait: header(response, &RETRY_AFTER)
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(|seconds| Duration::from_secs(seconds).min(MOST_WAIT)),
            },
        }
    }
}

fn facts_of(response: &Response, file: RemoteFile<'_>) -> Result<FileFacts, HubError> {
    let first = |names: [&HeaderName; 2]| names.into_iter().find_map(|name| header(response, name));
    if let Some(commit) = header(response, &COMMIT).filter(|commit| *commit != file.revision) {
        let reason = format!("it is of commit {commit} instead of {}", file.revision);
        return Err(unexpected(file, &reason));
    }
    let etag = first([&LINKED_ETAG, &ETAG]).map(plain_etag);
    let etag = etag.filter(|etag| is_plain_name(etag));
    let etag = etag.ok_or_else(|| unexpected(file, "it has no usable ETag"))?;
    let bytes = first([&LINKED_SIZE, &CONTENT_LENGTH]).and_then(|size| size.parse().ok());
    let bytes = bytes.ok_or_else(|| unexpected(file, "it does not tell the file's size"))?;
    Ok(FileFacts { etag: etag.to_owned(), bytes })
}

/// Where the answer points to; only from the answer's own address may that be told without a host.
fn redirect(url: &Url, response: &Response) -> Option<Url> {
    let location = response.status().is_redirection().then(|| header(response, &LOCATION));
    url.join(location??).ok().filter(|next| matches!(next.scheme(), "http" | "https"))
}

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn plain_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// The hub chooses it, and a file gets it as its name.
fn is_plain_name(etag: &str) -> bool {
    !etag.is_empty()
        && etag.len() <= 128
        && !etag.starts_with('.')
        && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn unexpected(file: RemoteFile<'_>, reason: &str) -> HubError {
    HubError::Unexpected { path: file.path.to_owned(), reason: reason.to_owned() }
}

fn unreachable(url: &Url, error: reqwest::Error) -> HubError {
    // The address of a file elsewhere is signed: whoever reads it in a log could fetch the file.
    HubError::Unreachable { host: host(url), reason: causes(&error.without_url()) }
}

pub(super) fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// An error with what is behind it: reqwest's own words are "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_becomes_a_file_name_only_when_it_is_one() {
        assert_eq!(plain_etag("W/\"abc\""), "abc");
        assert!(is_plain_name("ba7816bf8f01") && is_plain_name("abc-1_2.x"));
        for etag in ["", "..", ".lock", "a/b", "../up", "a b", "é", &"a".repeat(129)] {
            assert!(!is_plain_name(etag), "{etag}");
        }
    }

    #[test]
    fn a_range_is_believed_only_when_it_says_where_it_starts() {
        assert_eq!(range_start("bytes 5-9/10"), Some(5));
        assert_eq!(range_start("bytes */10"), None);
        assert_eq!(range_start("5-9/10"), None);
    }
}
