//! One client for all deliveries: checks where they go, signs them, tries again.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{Url, header, redirect};
use shared::signing::{SigningSecret, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use thiserror::Error;
use tokio::{sync::watch, time};

use super::{
    Pauses, Plan, WebhookSettings, WebhooksError,
    address::{PublicOnly, is_public},
};
use crate::{access::Secret, clock::unix_seconds};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const URL_MAX_CHARS: usize = 2_048;

/// Why a URL is not called; the text is safe to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotTaken {
    #[error("must be an absolute URL")]
    NotAUrl,
    #[error("must have at most {URL_MAX_CHARS} characters")]
    TooLong,
    #[error("must start with https://")]
    NotHttps,
    #[error("must not point into a private network")]
    Private,
}

/// Sends webhooks.
pub struct Webhooks {
    http: reqwest::Client,
    secret: Secret,
    signing: SigningSecret,
    may_call_local: bool,
    pauses: Pauses,
    open: watch::Sender<usize>,
}

impl Webhooks {
    /// Nothing is sent yet.
    pub fn new(settings: WebhookSettings) -> Result<Self, WebhooksError> {
        // An error means that a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .user_agent(concat!("chandelle-node/", env!("CARGO_PKG_VERSION")))
            // A redirect could lead where the URL itself must not, and so could a proxy.
            .redirect(redirect::Policy::none())
            .no_proxy();
        if !settings.may_call_local {
            http = http.https_only(true).dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Self {
            http: http.build()?,
            signing: SigningSecret::parse(settings.secret.expose())?,
            secret: settings.secret,
            may_call_local: settings.may_call_local,
            pauses: settings.pauses,
            open: watch::Sender::new(0),
        })
    }

    /// What receivers check signatures with.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// How long deliveries wait for each other.
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Whether a URL may be called, as far as its text tells; what its name stands for is checked at each attempt.
    pub fn check(&self, text: &str) -> Result<Url, NotTaken> {
        if text.len() > URL_MAX_CHARS {
            return Err(NotTaken::TooLong);
        }
        let url = Url::parse(text).map_err(|_| NotTaken::NotAUrl)?;
        let Some(host) = url.host_str() else { return Err(NotTaken::NotAUrl) };
        match url.scheme() {
            "https" => {}
            "http" if self.may_call_local => {}
            _ => return Err(NotTaken::NotHttps),
        }
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        if !self.may_call_local && literal.is_some_and(|address| !is_public(address)) {
            return Err(NotTaken::Private);
        }
        Ok(url)
    }

    /// Counts until it is dropped: a node that leaves waits for what is open.
    pub fn open(self: &Arc<Self>) -> OpenWebhook {
        self.open.send_modify(|count| *count += 1);
        OpenWebhook(self.clone())
    }

    /// Waits until nothing is under way.
    pub async fn wait_until_idle(&self) {
        // The sender lives as long as the client, so the wait cannot fail.
        let _ = self.open.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Sends a body until it is taken or the plan ends; says whether it was taken. `id` is the same for each attempt.
    pub async fn deliver(&self, url: &str, id: &str, body: &[u8], plan: Plan) -> bool {
        let Ok(url) = self.check(url) else { return false };
        let mut pauses = plan.pauses(&self.pauses).iter();
        loop {
            match self.attempt(&url, id, body).await {
                Ok(status) if plan.is_delivered(status) => return true,
                // The address may hold a secret of its receiver, so only the host is told.
                Ok(status) => tracing::info!(host = url.host_str(), status, "webhook not taken"),
                Err(error) => {
                    let error = error.without_url();
                    tracing::info!(host = url.host_str(), %error, "webhook not delivered");
                }
            }
            let Some(pause) = pauses.next() else { return false };
            time::sleep(*pause).await;
        }
    }

    async fn attempt(&self, url: &Url, id: &str, body: &[u8]) -> reqwest::Result<u16> {
        let timestamp = unix_seconds();
        let call = self
            .http
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(WEBHOOK_ID, id)
            .header(WEBHOOK_TIMESTAMP, timestamp)
            .header(WEBHOOK_SIGNATURE, self.signing.sign(id, timestamp, body))
            .body(body.to_vec());
        Ok(call.send().await?.status().as_u16())
    }
}

/// A webhook that is not done with.
pub struct OpenWebhook(Arc<Webhooks>);

impl Drop for OpenWebhook {
    fn drop(&mut self) {
        self.0.open.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhooks(may_call_local: bool) -> Webhooks {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let settings = WebhookSettings { secret, may_call_local, pauses: Pauses::default() };
        Webhooks::new(settings).unwrap()
    }

    #[test]
    fn only_https_to_the_internet_is_taken() {
        let webhooks = webhooks(false);
        assert!(webhooks.check("https://example.com/hook?id=1").is_ok());
        let refused = [
            ("example.com", NotTaken::NotAUrl),
            ("http://example.com", NotTaken::NotHttps),
            ("file:///etc/passwd", NotTaken::NotAUrl),
            ("ftp://example.com", NotTaken::NotHttps),
            ("https://127.0.0.1/", NotTaken::Private),
            ("https://0x7f.1/", NotTaken::Private),
            ("https://2130706433/", NotTaken::Private),
            ("https://[::1]:8000/", NotTaken::Private),
            ("https://[::ffff:169.254.169.254]/", NotTaken::Private),
        ];
        for (url, reason) in refused {
            assert_eq!(webhooks.check(url), Err(reason), "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_MAX_CHARS));
        assert_eq!(webhooks.check(&long), Err(NotTaken::TooLong));
    }

    #[tokio::test]
    async fn a_name_that_stands_for_this_machine_is_not_called() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let webhooks = webhooks(false);
        assert!(!webhooks.deliver(&url, "msg_1", b"{}", Plan::InBetween).await);
        let called = time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(called.is_err(), "it was called");
    }

    #[test]
    fn a_developer_may_call_the_own_machine() {
        assert!(webhooks(true).check("http://127.0.0.1:3000/hook").is_ok());
    }
}
