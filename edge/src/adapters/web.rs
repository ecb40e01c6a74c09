//! The public internet: one request at a time, with an end to how much and how long is read.

use std::net::IpAddr;

use async_trait::async_trait;
use serde::Deserialize;
use shared::address::Address;
use worker::{js_sys, send::SendFuture};

use super::{
    byte_stream::ByteStream,
    http_client::{Answer, Call, Unreached, within},
};
use crate::{
    error::{Error, Result},
    ports::web::{FetchFailure, Fetched, Web},
};

const DNS_TIMEOUT_MS: u32 = 3_000;

/// Statuses with which a question was answered: with what there is, and with that there is no such name.
const ANSWERED: [u32; 2] = [0, 3];

/// The numbers of the record types.
const A: u16 = 1;
const AAAA: u16 = 28;

/// The runtime's own way out.
pub struct HttpWeb {
    /// Who is asked about names; `None`: nobody.
    pub dns_url: Option<String>,
}

#[derive(Deserialize)]
struct DnsAnswer {
    #[serde(rename = "Status")]
    status: u32,
    #[serde(rename = "Answer", default)]
    answer: Vec<DnsRecord>,
}

#[derive(Deserialize)]
struct DnsRecord {
    #[serde(rename = "type")]
    kind: u16,
    data: String,
}

#[async_trait]
impl Web for HttpWeb {
    async fn fetch(
        &self,
        address: &Address,
        max_bytes: usize,
        timeout_ms: u32,
    ) -> std::result::Result<Fetched, FetchFailure> {
        let call = Call::new("GET", address.to_string(), timeout_ms)
            .header("accept", "image/png, image/jpeg, image/webp")
            .streaming();
        SendFuture::new(async move {
            let fetching = async {
                let answer = call.send().await.map_err(|_| FetchFailure::Unreachable)?;
                read(answer, max_bytes, timeout_ms).await
            };
            within(timeout_ms, fetching).await.unwrap_or(Err(FetchFailure::TooSlow))
        })
        .await
    }

    async fn resolve(&self, name: &str) -> Result<Option<Vec<IpAddr>>> {
        let Some(dns_url) = &self.dns_url else { return Ok(None) };
        let mut found = Vec::new();
        for kind in ["A", "AAAA"] {
            let name: String = js_sys::encode_uri_component(name).into();
            let url = format!("{dns_url}?name={name}&type={kind}");
            let call =
                Call::new("GET", url, DNS_TIMEOUT_MS).header("accept", "application/dns-json");
            let text = SendFuture::new(text_of(call)).await?;
            found.extend(addresses_in(&text)?);
        }
        Ok(Some(found))
    }
}

async fn text_of(call: Call) -> Result<String> {
    let unavailable = |cause: Unreached| Error::unavailable("DNS", cause.0);
    let answer = call.send().await.map_err(unavailable)?;
    let text = answer.text().await.map_err(unavailable)?;
    let refused = || Error::unavailable("DNS", format!("status {}", answer.status()));
    if answer.is_success() { Ok(text) } else { Err(refused()) }
}

/// The addresses of an answer; it lists the aliases on the way to them, too.
fn addresses_in(text: &str) -> Result<Vec<IpAddr>> {
    let answer: DnsAnswer =
        serde_json::from_str(text).map_err(|error| Error::unavailable("DNS", error))?;
    // The name's own servers failed, or refused: the runtime's resolver might fare better and be led inside.
    if !ANSWERED.contains(&answer.status) {
        return Err(Error::unavailable("DNS", format!("it answered {}", answer.status)));
    }
    let records = answer.answer.iter().filter(|record| [A, AAAA].contains(&record.kind));
    // What can't be read as an address must not count as none.
    records.map(|record| record.data.parse().map_err(|e| Error::unavailable("DNS", e))).collect()
}

async fn read(
    answer: Answer,
    max_bytes: usize,
    timeout_ms: u32,
) -> std::result::Result<Fetched, FetchFailure> {
    let (status, location) = (answer.status(), answer.header("location"));
    if !answer.is_success() {
        answer.discard();
        return Ok(Fetched { status, location, bytes: Vec::new() });
    }
    let announced = answer.header("content-length").and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > max_bytes) {
        answer.discard();
        return Err(FetchFailure::TooLarge);
    }
    let stream = ByteStream::open(&answer).map_err(|_| FetchFailure::Unreachable)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next(timeout_ms).await.map_err(|_| FetchFailure::Unreachable)? {
        if bytes.len().saturating_add(chunk.len()) > max_bytes {
            return Err(FetchFailure::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Fetched { status, location, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_the_addresses_count_and_the_aliases_do_not() {
        let text = r#"{"Status":0,"Answer":[
            {"name":"a.example","type":5,"TTL":60,"data":"b.example."},
            {"name":"b.example","type":1,"TTL":60,"data":"10.0.0.1"},
            {"name":"b.example","type":28,"TTL":60,"data":"::1"}]}"#;
        let ips: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(addresses_in(text).unwrap(), ips);
        assert_eq!(addresses_in(r#"{"Status":3}"#).unwrap(), Vec::<IpAddr>::new());
        for unusable in
            [r#"{"Status":0,"Answer":[{"type":1,"data":"?"}]}"#, r#"{"Status":2}"#, "{}"]
        {
            assert!(addresses_in(unusable).is_err(), "{unusable}");
        }
    }
}
