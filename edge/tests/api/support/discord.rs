//! A Discord webhook in memory, with answers to order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use edge::ports::delivery::{Delivery, DiscordWebhook};
use serde_json::Value;

/// A webhook that takes everything, unless told otherwise.
#[derive(Clone, Default)]
pub struct FakeDiscord {
    posted: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<VecDeque<Delivery>>>,
}

impl FakeDiscord {
    /// Bodies it was sent, refused ones included.
    pub fn posted(&self) -> Vec<Value> {
        self.posted.lock().unwrap().clone()
    }

    /// How it answers the next calls; afterwards it takes everything again.
    pub fn answer(&self, answers: impl IntoIterator<Item = Delivery>) {
        self.answers.lock().unwrap().extend(answers);
    }
}

#[async_trait]
impl DiscordWebhook for FakeDiscord {
    async fn post(&self, body: &Value) -> Delivery {
        self.posted.lock().unwrap().push(body.clone());
        self.answers.lock().unwrap().pop_front().unwrap_or(Delivery::Delivered)
    }
}
