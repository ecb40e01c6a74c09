//! The product's own server in memory: it keeps what it was sent, with answers to order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use edge::ports::delivery::{Delivery, SignedMessage, WebhookReceiver};
use serde_json::Value;

/// A receiver that takes everything, unless told otherwise.
#[derive(Clone, Default)]
pub struct FakeReceiver {
    received: Arc<Mutex<Vec<SignedMessage>>>,
    answers: Arc<Mutex<VecDeque<Delivery>>>,
}

impl FakeReceiver {
    /// What it was sent, refused ones included.
    pub fn received(&self) -> Vec<SignedMessage> {
        self.received.lock().unwrap().clone()
    }

    /// The bodies of those.
    pub fn bodies(&self) -> Vec<Value> {
        self.received().iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    /// How it answers the next calls; afterwards it takes everything again.
    pub fn answer(&self, answers: impl IntoIterator<Item = Delivery>) {
        self.answers.lock().unwrap().extend(answers);
    }
}

#[async_trait]
impl WebhookReceiver for FakeReceiver {
    async fn post(&self, message: SignedMessage) -> Delivery {
        self.received.lock().unwrap().push(message);
        self.answers.lock().unwrap().pop_front().unwrap_or(Delivery::Delivered)
    }
}
