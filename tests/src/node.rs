//! A node as the edge sees it, for stories that keep one busy.

use anyhow::{Result, ensure};
use reqwest::{Client, StatusCode};
use shared::{
    ids::JobId,
    node::{image::ImageInput, jobs::CreateNodeJob},
};

use crate::stack::Stack;

/// Work that fills a node's queue.
#[derive(Default)]
pub struct Ballast {
    jobs: Vec<JobId>,
}

impl Ballast {
    /// Long jobs until the node takes no more.
    pub async fn fill(&mut self, stack: &Stack) -> Result<()> {
        for _ in 0..200 {
            let mut image = ImageInput::from_prompt("a red star".to_owned());
            image.steps = Some(150);
            let id = JobId(uuid::Uuid::new_v4());
            let order = CreateNodeJob { id, model: "embedded-scene".to_owned(), image };
            let url = format!("{}/v1/jobs", stack.node_url);
            let answer =
                Client::new().post(url).bearer_auth(&stack.node_token).json(&order).send().await?;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                ensure!(answer.headers().contains_key("retry-after"), "429 says when to come back");
                return Ok(());
            }
            answer.error_for_status()?;
            self.jobs.push(id);
        }
        anyhow::bail!("the node never was full")
    }

    /// Takes all of it back.
    pub async fn drop_all(self, stack: &Stack) -> Result<()> {
        for id in self.jobs {
            let url = format!("{}/v1/jobs/{id}", stack.node_url);
            Client::new().delete(url).bearer_auth(&stack.node_token).send().await?;
        }
        Ok(())
    }
}
