//! The product's own server: what its answers mean for a delivery.

use async_trait::async_trait;
use worker::send::SendFuture;

use super::http_client::Call;
use crate::ports::delivery::{Delivery, SignedMessage, WebhookReceiver};

const TIMEOUT_MS: u32 = 10_000;

/// One receiver.
pub struct HttpWebhookReceiver {
    pub url: String,
}

#[async_trait]
impl WebhookReceiver for HttpWebhookReceiver {
    async fn post(&self, message: SignedMessage) -> Delivery {
        let call = Call::new("POST", self.url.clone(), TIMEOUT_MS)
            .header("content-type", "application/json")
            .text(&message.body);
        let call =
            message.headers.into_iter().fold(call, |call, (name, value)| call.header(name, value));
        SendFuture::new(async move {
            match call.send().await {
                Ok(answer) => {
                    answer.discard();
                    delivery(answer.status(), answer.retry_after_s())
                }
                Err(cause) => Delivery::Retry { after_s: None, cause: cause.0 },
            }
        })
        .await
    }
}

/// What an answer means. Only 410 says that nobody will ever listen: anything else, a 404 of a server that is being
/// deployed too, is tried for a day. A redirect is not followed: it would carry the secret elsewhere.
fn delivery(status: u16, after_s: Option<u32>) -> Delivery {
    let cause = format!("status {status}");
    match status {
        200..=299 => Delivery::Delivered,
        410 => Delivery::Refused { cause },
        429 | 503 => Delivery::Retry { after_s, cause },
        _ => Delivery::Retry { after_s: None, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_receiver_that_is_gone_for_good_ends_the_attempts() {
        assert_eq!(delivery(204, None), Delivery::Delivered);
        assert!(matches!(delivery(410, None), Delivery::Refused { .. }));
        for status in [301, 400, 401, 404, 408, 500, 502] {
            let answer = delivery(status, Some(9));
            assert!(matches!(answer, Delivery::Retry { after_s: None, .. }), "{status}");
        }
        for status in [429, 503] {
            let answer = delivery(status, Some(9));
            assert!(matches!(answer, Delivery::Retry { after_s: Some(9), .. }), "{status}");
        }
    }
}
