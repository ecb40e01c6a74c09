//! Reading the assistant's event stream, and what stands in for the nodes that write it.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use shared::api::assistant::AnswerEvent;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use crate::stack::Stack;

/// An open stream of an answer.
pub struct Answers {
    response: Response,
    text: String,
}

impl Answers {
    /// Takes an answer that must be a stream.
    pub fn of(response: Response) -> Result<Self> {
        ensure!(response.status() == StatusCode::OK, "status {}", response.status());
        Ok(Self { response, text: String::new() })
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.response.headers().get(name)?.to_str().ok()?.to_owned())
    }

    /// The next event with its number; `None` when the stream has ended.
    pub async fn next(&mut self) -> Result<Option<(u64, AnswerEvent)>> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                // A block without data keeps the connection open, or says when to come back.
                if let Some(data) = field("data:") {
                    let number = field("id:").context("a number")?.parse()?;
                    return Ok(Some((number, serde_json::from_str(data)?)));
                }
            }
            match self.response.chunk().await? {
                Some(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                None => return Ok(None),
            }
        }
    }

    /// Everything that follows.
    pub async fn to_end(mut self) -> Result<Vec<(u64, AnswerEvent)>> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await? {
            all.push(event);
        }
        Ok(all)
    }
}

/// The text of the deltas.
pub fn said(events: &[(u64, AnswerEvent)]) -> String {
    let text = |(_, event): &(u64, AnswerEvent)| match event {
        AnswerEvent::Delta { text } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

/// A stand-in for a node that writes, known to the edge until it leaves.
pub struct TextNode {
    id: String,
    url: String,
    leave_url: String,
    join_token: String,
    child: Child,
}

impl TextNode {
    /// Starts one; of several, those whose names come first are asked first.
    pub async fn join(stack: &Stack, id: &str, behaviours: &Value) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stand-ins/text-node.mjs");
        let join_token = stack.plan.secrets.node_join_token.clone();
        let mut child = Command::new("node")
            .arg(script)
            .args(["--port", &port.to_string(), "--id", id, "--edge", &stack.edge_url])
            .args(["--join", &join_token])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("its output")?;
        let ready = BufReader::new(output).lines().next_line().await?.context("its first line")?;
        let url = ready.strip_prefix("READY ").context(ready.clone())?.to_owned();
        Client::new().post(format!("{url}/behave")).json(behaviours).send().await?;
        let leave_url = format!("{}/api/nodes/{id}", stack.edge_url);
        Ok(Self { id: id.to_owned(), url, leave_url, join_token, child })
    }

    /// SIGKILL: the edge is not told.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// What it was asked, and how often somebody hung up on it.
    pub async fn seen(&self) -> Result<(usize, u64)> {
        let seen: Value = reqwest::get(format!("{}/seen", self.url)).await?.json().await?;
        let requests = seen["requests"].as_array().context("requests")?.len();
        Ok((requests, seen["hung_up"].as_u64().context("a number")?))
    }

    /// Takes it off the edge's list, so that later stories don't meet it.
    pub async fn leave(self) -> Result<()> {
        let left = Client::new().delete(&self.leave_url).bearer_auth(&self.join_token);
        left.send().await?.error_for_status().with_context(|| self.id.clone())?;
        Ok(())
    }
}

/// One behaviour: this text, a word every so many milliseconds, and then this ending.
pub fn writes(text: &str, every_ms: u64, ending: &str) -> Value {
    json!([{ "text": text, "every_ms": every_ms, "ending": ending }])
}
