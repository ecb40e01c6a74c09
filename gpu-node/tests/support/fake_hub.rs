//! A server that behaves like the hub, and a second one that keeps its large files; both do what the test says.
//!
//! Small files come from the hub after a redirect within it, under the id that git gives them. For large ones it points,
//! under their SHA-256, to a signed address on the other server, which knows nobody's token.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

pub const REPOSITORY: &str = "acme/tiny-pictures";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// What makes an address on the second server worth keeping secret.
pub const SIGNATURE: &str = "signed-by-the-hub";

/// How a file's answers go wrong.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// The next answers: a status, its `X-Error-Code`, and its message.
    pub refusals: Vec<(u16, &'static str, &'static str)>,
    /// How many of the next bodies end after so many bytes.
    pub breaks: Vec<usize>,
    /// After so many bytes the body waits for [`FakeHub::let_go`].
    pub hold_after: Option<usize>,
    pub ignores_ranges: bool,
    /// Other bytes than those that the hub's checksum is of.
    pub is_corrupt: bool,
    pub etag: Option<&'static str>,
    pub commit: Option<&'static str>,
    /// Bytes that come at once, with a moment between them.
    pub trickle: Option<usize>,
}

struct FakeFile {
    content: Bytes,
    is_large: bool,
    trouble: Trouble,
}

/// A request as one of the servers saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub is_hub: bool,
    pub method: Method,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

struct Shared {
    files: Mutex<HashMap<String, FakeFile>>,
    seen: Mutex<Vec<Seen>>,
    store: Mutex<String>,
    is_held: watch::Sender<bool>,
    waiting: AtomicUsize,
}

pub struct FakeHub {
    pub url: String,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.let_go();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl FakeHub {
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            files: Mutex::default(),
            seen: Mutex::default(),
            store: Mutex::default(),
            is_held: watch::Sender::new(true),
            waiting: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let serve = |router: Router| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            runtime.spawn(async move { axum::serve(listener, router).await });
            url
        };
        let url = serve(Router::new().fallback(answer_as_hub).with_state(shared.clone()));
        let store = serve(Router::new().fallback(answer_as_store).with_state(shared.clone()));
        *shared.store.lock().unwrap() = store;
        Self { url, shared, runtime: Some(runtime) }
    }

    /// Puts a file into the repository; a large one is kept on the second server.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>, is_large: bool) {
        let content = Bytes::from(content.into());
        let file = FakeFile { content, is_large, trouble: Trouble::default() };
        self.shared.files.lock().unwrap().insert(path.to_owned(), file);
    }

    /// From now on the file goes wrong like this.
    pub fn trouble(&self, path: &str, trouble: Trouble) {
        self.shared.files.lock().unwrap().get_mut(path).unwrap().trouble = trouble;
    }

    /// Bodies that were held go on.
    pub fn let_go(&self) {
        self.shared.is_held.send_replace(false);
    }

    /// Waits until so many bodies are held.
    pub fn wait_for_held(&self, count: usize) {
        while self.shared.waiting.load(Ordering::SeqCst) < count {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Where the bodies of a file were asked to begin, in order.
    pub fn ranges(&self, path: &str) -> Vec<Option<String>> {
        let seen = self.seen();
        let files = self.shared.files.lock().unwrap();
        let from_hub = !files[path].is_large;
        let of_file = |seen: &&Seen| {
            seen.method == Method::GET && seen.is_hub == from_hub && seen.path.ends_with(path)
        };
        let bodies = seen.iter().filter(of_file);
        bodies.filter(|seen| !seen.path.contains("/resolve/")).map(|s| s.range.clone()).collect()
    }
}

fn note(shared: &Shared, is_hub: bool, request: &Request) {
    let text = |name| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    shared.seen.lock().unwrap().push(Seen {
        is_hub,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        range: text(header::RANGE),
        token: text(header::AUTHORIZATION),
    });
}

fn refusal(status: u16, code: &'static str, message: &'static str) -> Response {
    let headers = [("x-error-code", code), ("x-error-message", message), ("retry-after", "0")];
    (StatusCode::from_u16(status).unwrap(), headers, "never a file").into_response()
}

async fn answer_as_hub(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    note(&shared, true, &request);
    let path = request.uri().path().to_owned();
    let resolve = format!("/{REPOSITORY}/resolve/{COMMIT}/");
    let cached = format!("/api/resolve-cache/{COMMIT}/");
    if let Some(name) = path.strip_prefix(&cached) {
        return send(&shared, name, &request);
    }
    if !path.starts_with(&format!("/{REPOSITORY}/")) {
        return refusal(404, "RepoNotFound", "Repository not found");
    }
    let Some(name) = path.strip_prefix(&resolve) else {
        return refusal(404, "RevisionNotFound", "Invalid rev id");
    };
    let mut files = shared.files.lock().unwrap();
    let Some(file) = files.get_mut(name) else {
        return refusal(404, "EntryNotFound", "Entry not found");
    };
    if !file.trouble.refusals.is_empty() {
        let (status, code, message) = file.trouble.refusals.remove(0);
        return refusal(status, code, message);
    }
    let mut headers = HeaderMap::new();
    let location = if file.is_large {
        headers.insert("x-linked-etag", etag(file).parse().unwrap());
        headers.insert("x-linked-size", file.content.len().into());
        let commit = file.trouble.commit.unwrap_or(COMMIT);
        headers.insert("x-repo-commit", commit.parse().unwrap());
        format!("{}/blobs/{name}?Signature={SIGNATURE}", shared.store.lock().unwrap())
    } else {
        format!("{cached}{name}")
    };
    headers.insert(header::LOCATION, location.parse().unwrap());
    let status = if file.is_large { StatusCode::FOUND } else { StatusCode::TEMPORARY_REDIRECT };
    (status, headers).into_response()
}

async fn answer_as_store(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    note(&shared, false, &request);
    if !request.uri().query().unwrap_or_default().contains(SIGNATURE) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let name = request.uri().path().trim_start_matches("/blobs/").to_owned();
    send(&shared, &name, &request)
}

/// The ETag as it is written in a header.
fn etag(file: &FakeFile) -> String {
    if let Some(etag) = file.trouble.etag {
        return format!("\"{etag}\"");
    }
    let hex = |digest: &[u8]| digest.iter().map(|b| format!("{b:02x}")).collect::<String>();
    if file.is_large {
        return format!("\"{}\"", hex(&Sha256::digest(&file.content)));
    }
    let head = format!("blob {}\0", file.content.len());
    format!("W/\"{}\"", hex(&Sha1::new_with_prefix(head).chain_update(&file.content).finalize()))
}

fn send(shared: &Arc<Shared>, name: &str, request: &Request) -> Response {
    let mut files = shared.files.lock().unwrap();
    let file = files.get_mut(name).unwrap();
    let mut content = file.content.to_vec();
    if file.trouble.is_corrupt {
        content[0] ^= 1;
    }
    let range = request.headers().get(header::RANGE).filter(|_| !file.trouble.ignores_ranges);
    let from = range.map(|range| {
        let range = range.to_str().unwrap();
        range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse::<usize>().unwrap()
    });
    let whole = content.len();
    if from.is_some_and(|from| from >= whole) {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let rest = content.split_off(from.unwrap_or(0));
    let response = Response::builder()
        .header(header::ETAG, etag(file))
        .header("x-repo-commit", file.trouble.commit.unwrap_or(COMMIT))
        .header(header::CONTENT_LENGTH, rest.len());
    let response = match from {
        Some(from) => response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{whole}", whole - 1)),
        None => response,
    };
    if request.method() == Method::HEAD {
        return response.body(Body::empty()).unwrap();
    }
    let is_broken = !file.trouble.breaks.is_empty();
    let course = Course {
        end: if is_broken { file.trouble.breaks.remove(0) } else { rest.len() },
        is_broken,
        hold: file.trouble.hold_after.take(),
        trickle: file.trouble.trickle.unwrap_or(rest.len().max(1)),
    };
    response.body(body(shared.clone(), Bytes::from(rest), course)).unwrap()
}

/// How a body goes.
#[derive(Clone, Copy)]
struct Course {
    end: usize,
    /// It is torn off there.
    is_broken: bool,
    hold: Option<usize>,
    trickle: usize,
}

/// So much of it, in parts, perhaps held in between, perhaps torn off at the end.
fn body(shared: Arc<Shared>, bytes: Bytes, course: Course) -> Body {
    let Course { end, is_broken, hold, trickle } = course;
    let next = move |(shared, bytes, at): (Arc<Shared>, Bytes, usize)| async move {
        if at > 0 && trickle < bytes.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if hold == Some(at) {
            shared.waiting.fetch_add(1, Ordering::SeqCst);
            let _ = shared.is_held.subscribe().wait_for(|is_held| !is_held).await;
        }
        if at == end {
            let torn = is_broken.then(|| Err(io::Error::other("torn off")));
            return torn.map(|torn| (torn, (shared, bytes, usize::MAX)));
        }
        if at > end {
            return None;
        }
        let stop = hold.filter(|hold| *hold > at).unwrap_or(end).min(end).min(at + trickle);
        Some((Ok(bytes.slice(at..stop)), (shared, bytes, stop)))
    };
    Body::from_stream(stream::unfold((shared, bytes, 0), next))
}
