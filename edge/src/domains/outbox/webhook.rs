//! From an outbox row to a signed webhook for the product's own server. The row's id is the message's: a receiver that sees
//! one twice can tell. The signature covers the time of the attempt, the body is the same for each.

use shared::signing::{SigningSecret, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

use crate::{
    config::Environment,
    domains::images::wording::event_of,
    ports::{
        delivery::{SignedMessage, WebhookReceiver},
        stores::OutboxRow,
    },
};

/// The header that Sorami's receivers compare with what they know.
const SECRET_HEADER: &str = "x-webhook-secret";

/// Where webhooks go, and how they are proved.
#[derive(Clone, Copy)]
pub struct Webhook<'a> {
    pub receiver: &'a dyn WebhookReceiver,
    /// As configured.
    pub secret: &'a str,
    pub signing: &'a SigningSecret,
    pub environment: Environment,
}

/// The message for a row, or `None` for an event that no webhook is sent of.
pub fn message_of(row: &OutboxRow, webhook: &Webhook<'_>, now_ms: u64) -> Option<SignedMessage> {
    let event = event_of(&row.payload, webhook.environment)?;
    let body = serde_json::to_string(&event).ok()?;
    let now_s = now_ms / 1_000;
    let signature = webhook.signing.sign(&row.id, now_s, body.as_bytes());
    let headers = vec![
        (SECRET_HEADER, webhook.secret.to_owned()),
        (WEBHOOK_ID, row.id.clone()),
        (WEBHOOK_TIMESTAMP, now_s.to_string()),
        (WEBHOOK_SIGNATURE, signature),
    ];
    Some(SignedMessage { headers, body })
}
