//! Fetching the picture that an order points to, from wherever its caller says, without letting them make the edge ask
//! where they could not ask themselves: each address on the way is checked, the first and those of redirects.

use shared::{
    address::{Address, AddressProblem, is_public_ip},
    api::images::FileFormat,
    errors::FieldError,
    limits::INPUT_IMAGE_MAX_BYTES,
};

use crate::{
    error::{Error, Result},
    ports::{
        system::Clock,
        web::{FetchFailure, Web},
    },
};

/// All requests together; a person waits for the answer.
const BUDGET_MS: u64 = 10_000;
const REDIRECTS_MAX: usize = 3;

/// What fetching needs.
#[derive(Clone, Copy)]
pub struct InputPorts<'a> {
    pub clock: &'a dyn Clock,
    pub web: &'a dyn Web,
    /// Origins of a developer's own machine, which are asked whatever they are.
    pub own_origins: &'a [String],
}

/// A picture, and what its bytes say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPicture {
    pub format: FileFormat,
    pub bytes: Vec<u8>,
}

/// Fetches it. Whatever is wrong with it is wrong with the order's `input_image_url`.
pub async fn fetch_input(ports: &InputPorts<'_>, url: &str) -> Result<InputPicture> {
    let until_ms = ports.clock.now_ms().saturating_add(BUDGET_MS);
    let mut address: Address = url.parse().map_err(refused)?;
    for _ in 0..=REDIRECTS_MAX {
        check(ports, &address).await?;
        let left_ms = until_ms.saturating_sub(ports.clock.now_ms());
        let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        if left_ms == 0 {
            return Err(failed(FetchFailure::TooSlow));
        }
        let fetched = ports.web.fetch(&address, INPUT_IMAGE_MAX_BYTES, left_ms).await;
        let fetched = fetched.map_err(failed)?;
        match (fetched.status, fetched.location) {
            (200, _) => return picture_of(fetched.bytes),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                address = address.join(&location).map_err(refused)?;
            }
            _ => return Err(failed(FetchFailure::Unreachable)),
        }
    }
    Err(wrong("redirects", format!("must not be redirected more than {REDIRECTS_MAX} times")))
}

/// Its text first, then what its name resolves to. A name that resolves to something else a moment later gets past both.
async fn check(ports: &InputPorts<'_>, address: &Address) -> Result<()> {
    if ports.own_origins.contains(&address.origin()) {
        return Ok(());
    }
    address.require_public().map_err(refused)?;
    let Some(name) = address.name() else { return Ok(()) };
    match ports.web.resolve(name).await? {
        Some(ips) if !ips.iter().all(|ip| is_public_ip(*ip)) => {
            Err(refused(AddressProblem::NotPublic))
        }
        // There is nothing there, as far as can be known; whoever asked all the same might be told of something.
        Some(ips) if ips.is_empty() => Err(failed(FetchFailure::Unreachable)),
        _ => Ok(()),
    }
}

fn picture_of(bytes: Vec<u8>) -> Result<InputPicture> {
    let format = format_of(&bytes);
    let format = format.ok_or_else(|| wrong("content", "must lead to a PNG, JPEG or WebP file"))?;
    Ok(InputPicture { format, bytes })
}

/// By its first bytes: what a server says of a file is nothing we can rely on.
fn format_of(bytes: &[u8]) -> Option<FileFormat> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(FileFormat::Png),
        [0xff, 0xd8, 0xff, ..] => Some(FileFormat::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(FileFormat::Webp),
        _ => None,
    }
}

/// Not more than the caller may know: what answers inside must look like what doesn't.
fn failed(failure: FetchFailure) -> Error {
    match failure {
        FetchFailure::TooLarge => wrong(
            "too_large",
            format!("must lead to a file of at most {INPUT_IMAGE_MAX_BYTES} bytes"),
        ),
        FetchFailure::TooSlow => wrong("unreachable", "could not be fetched in time"),
        FetchFailure::Unreachable => wrong("unreachable", "could not be fetched"),
    }
}

fn refused(problem: AddressProblem) -> Error {
    wrong("address", problem.to_string())
}

fn wrong(code: &str, detail: impl Into<String>) -> Error {
    Error::Invalid(vec![FieldError {
        pointer: "/input_image_url".to_owned(),
        code: code.to_owned(),
        detail: detail.into(),
    }])
}
