//! The edge's three node routes, over HTTP.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use shared::api::fleet::{Heartbeat, NodeRegistered, RegisterNode};
use thiserror::Error;

use crate::access::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call to the edge came to nothing.
#[derive(Debug, Error)]
pub enum FleetError {
    #[error("the edge cannot be reached: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("the edge does not accept the join token")]
    Unauthenticated,
    /// It lost its memory, or missed too many heartbeats.
    #[error("the edge does not know this node")]
    Unknown,
    #[error("the edge answered {0}")]
    Refused(StatusCode),
}

/// One node's line to its edge.
pub struct EdgeClient {
    http: reqwest::Client,
    edge_url: String,
    join_token: Secret,
    node: RegisterNode,
}

impl EdgeClient {
    /// No call is made yet.
    pub fn new(
        edge_url: String,
        join_token: Secret,
        node: RegisterNode,
    ) -> Result<Self, FleetError> {
        // An error means that a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            // The join token is for the configured edge and for nobody it may point to.
            .redirect(Policy::none())
            .build()?;
        Ok(Self { http, edge_url, join_token, node })
    }

    /// Who this node says it is.
    pub fn node(&self) -> &RegisterNode {
        &self.node
    }

    /// Says where this node is and what it can run.
    pub async fn register(&self) -> Result<NodeRegistered, FleetError> {
        let call = self.call(Method::POST, "/api/nodes/register").json(&self.node);
        Ok(send(call).await?.json().await?)
    }

    /// Says how busy it is.
    pub async fn send_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), FleetError> {
        let path = format!("/api/nodes/{}/heartbeat", self.node.node_id);
        send(self.call(Method::POST, &path).json(heartbeat)).await?;
        Ok(())
    }

    /// Says that it is gone.
    pub async fn leave(&self) -> Result<(), FleetError> {
        let path = format!("/api/nodes/{}", self.node.node_id);
        send(self.call(Method::DELETE, &path)).await?;
        Ok(())
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.edge_url);
        self.http.request(method, url).bearer_auth(self.join_token.expose())
    }
}

async fn send(call: RequestBuilder) -> Result<Response, FleetError> {
    let response = call.send().await?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(FleetError::Unauthenticated),
        StatusCode::NOT_FOUND => Err(FleetError::Unknown),
        status => Err(FleetError::Refused(status)),
    }
}
