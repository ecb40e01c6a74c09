//! Discord's webhooks: what their answers mean for a delivery.

use async_trait::async_trait;
use serde_json::Value;
use worker::send::SendFuture;

use super::http_client::Call;
use crate::ports::delivery::{Delivery, DiscordWebhook};

const TIMEOUT_MS: u32 = 10_000;

/// One webhook. Its address is a secret.
pub struct HttpDiscordWebhook {
    pub url: String,
}

#[async_trait]
impl DiscordWebhook for HttpDiscordWebhook {
    async fn post(&self, body: &Value) -> Delivery {
        let call = Call::new("POST", self.url.clone(), TIMEOUT_MS).json(body);
        SendFuture::new(async move {
            let answer = match call.send().await {
                Ok(answer) => answer,
                Err(cause) => return Delivery::Retry { after_s: None, cause: cause.0 },
            };
            let after_header = answer.retry_after_s();
            let text = answer.text().await.unwrap_or_default();
            delivery(answer.status(), after_header, &text)
        })
        .await
    }
}

/// What an answer means. The text of a refusal is kept short: it is stored.
fn delivery(status: u16, after_header_s: Option<u32>, text: &str) -> Delivery {
    let cause = format!("status {status}: {}", text.chars().take(200).collect::<String>());
    match status {
        200..=299 => Delivery::Delivered,
        429 => {
            let in_body = serde_json::from_str::<Value>(text).ok();
            let after_body_s = in_body
                .and_then(|body| body.get("retry_after")?.as_f64())
                // `as` saturates, and no number of seconds is negative.
                .map(|seconds| seconds.ceil() as u32);
            Delivery::Retry { after_s: after_body_s.or(after_header_s), cause }
        }
        408 | 425 | 500..=599 => Delivery::Retry { after_s: after_header_s, cause },
        _ => Delivery::Refused { cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_success_is_a_delivery() {
        assert_eq!(delivery(204, None, ""), Delivery::Delivered);
        assert_eq!(delivery(200, None, "{}"), Delivery::Delivered);
    }

    #[test]
    fn a_rate_limit_says_how_long_to_wait() {
        let after = |header, text| match delivery(429, header, text) {
            Delivery::Retry { after_s, .. } => after_s,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(Some(9), r#"{"retry_after": 1.2, "global": false}"#), Some(2));
        assert_eq!(after(Some(9), "not json"), Some(9));
        assert_eq!(after(None, ""), None);
    }

    #[test]
    fn a_webhook_that_is_gone_or_a_body_it_dislikes_is_not_tried_again() {
        for status in [301, 400, 401, 403, 404, 413] {
            assert!(matches!(delivery(status, None, ""), Delivery::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn trouble_on_their_side_is_tried_again() {
        for status in [408, 500, 502, 503] {
            assert!(matches!(delivery(status, None, ""), Delivery::Retry { .. }), "{status}");
        }
    }
}
