//! Settings that an admin may read and change while the system runs.

use axum::{Json, http::StatusCode};
use shared::{
    api::settings::{Setting, UpdateSetting},
    errors::ErrorBody,
};

use crate::{
    error::{Error, Result},
    http::{
        extract::{AdminCaller, PathId, State, ValidJson},
        routes::Routes,
    },
    routes,
};

/// A setting's name: as long as the database takes, and nothing that needs escaping.
const KEY_MAX_CHARS: usize = 60;

pub fn routes() -> Routes {
    routes![find_setting, update_setting]
}

/// Read a setting.
#[utoipa::path(get, path = "/api/admin/settings/{key}", tag = "admin", params(("key" = String, Path)), responses(
    (status = 200, body = Setting),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn find_setting(
    State(state): State,
    AdminCaller(caller): AdminCaller,
    PathId(SettingKey(key)): PathId<SettingKey>,
) -> Result<Json<Setting>> {
    let value = state.admin.setting(&caller.token, &key).await?.ok_or(Error::NotFound)?;
    Ok(Json(Setting { key, value }))
}

/// Write a setting.
#[utoipa::path(put, path = "/api/admin/settings/{key}", tag = "admin", params(("key" = String, Path)),
    request_body = UpdateSetting, responses(
    (status = 204, description = "Written."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn update_setting(
    State(state): State,
    AdminCaller(caller): AdminCaller,
    PathId(SettingKey(key)): PathId<SettingKey>,
    ValidJson(order): ValidJson<UpdateSetting>,
) -> Result<StatusCode> {
    state.admin.set_setting(&caller.token, &key, &order.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The name of a setting, such as `retention`.
pub struct SettingKey(String);

impl std::str::FromStr for SettingKey {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let is_name = (1..=KEY_MAX_CHARS).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_name { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}
