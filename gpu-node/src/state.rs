//! What the handlers may use, put together once at start and shared by all requests.

use std::sync::Arc;

use shared::errors::FieldError;

use crate::{
    access::Access,
    clock::unix_seconds,
    error::{Error, Result},
    jobs::Jobs,
    scheduler::Metrics,
    text::OpenAnswers,
    uploads::Uploads,
    webhooks::Webhooks,
};

/// The node behind the door.
#[derive(Clone)]
pub struct AppState {
    pub jobs: Arc<Jobs>,
    pub metrics: Arc<Metrics>,
    pub access: Access,
    pub open_answers: OpenAnswers,
    pub uploads: Arc<Uploads>,
    /// When the node began, in Unix seconds.
    pub started_at: u64,
    /// `None` on a node that calls nobody.
    pub webhooks: Option<Arc<Webhooks>>,
    /// Where callers reach this node, without a slash at its end; as each request came when absent.
    pub public_url: Option<Arc<str>>,
}

impl AppState {
    /// The state of a node that begins now.
    pub fn new(jobs: Arc<Jobs>, metrics: Arc<Metrics>, access: Access) -> Self {
        let (open_answers, started_at) = (OpenAnswers::default(), unix_seconds());
        let (retention, clock) = jobs.book.keeping();
        let uploads = Arc::new(Uploads::new(retention, clock));
        let (webhooks, public_url) = (None, None);
        Self { jobs, metrics, access, open_answers, uploads, started_at, webhooks, public_url }
    }

    /// Fails when a webhook to that URL would not be sent.
    pub fn check_webhook(&self, url: &str) -> Result<()> {
        let reason = match &self.webhooks {
            Some(webhooks) => match webhooks.check(url) {
                Ok(_) => return Ok(()),
                Err(reason) => reason.to_string(),
            },
            None => "is not supported: this node calls nobody".to_owned(),
        };
        Err(Error::InvalidFields(vec![FieldError {
            pointer: "/webhook".to_owned(),
            code: "format".to_owned(),
            detail: reason,
        }]))
    }
}
