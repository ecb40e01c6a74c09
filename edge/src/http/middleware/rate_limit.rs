//! Limits per address and per user. A limiter that fails lets requests pass: it guards the rest, it must not be what is down.

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    caller::Caller,
    error::{Error, Result},
    http::context::RequestContext,
    ports::system::LimitedAction,
};

/// Before any credential is looked at, so that guessing is limited too.
pub async fn by_ip(context: &RequestContext) -> Result<()> {
    let key = match context.client_ip {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        // One subscriber commonly holds a whole /64.
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
        None => "unknown".to_owned(),
    };
    check(context, LimitedAction::RequestByIp, &key).await
}

/// After the token was verified.
pub async fn by_user(context: &RequestContext, caller: &Caller, is_generation: bool) -> Result<()> {
    let key = caller.user_id.to_string();
    check(context, LimitedAction::RequestByUser, &key).await?;
    if is_generation {
        check(context, LimitedAction::Generate, &key).await?;
    }
    Ok(())
}

async fn check(context: &RequestContext, action: LimitedAction, key: &str) -> Result<()> {
    match context.state.rate_limiter.is_allowed(action, key).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::RateLimited {
            policy: action.policy(),
            limit: action.limit(),
            retry_after_s: seconds_left(action.window_s(), context.state.clock.now_ms()),
        }),
        Err(error) => {
            tracing::warn!(request_id = context.request_id, %error, "the rate limiter did not answer");
            Ok(())
        }
    }
}

/// Until the next window: they are aligned to the clock.
fn seconds_left(window_s: u32, now_ms: u64) -> u32 {
    let window = u64::from(window_s.max(1));
    let passed = (now_ms / 1000) % window;
    u32::try_from(window - passed).unwrap_or(window_s)
}
