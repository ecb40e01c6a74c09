//! What an admin may change at run time, and what the page must know to sign people in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::validate::{Fields, FromBody};

/// A setting: `GET` and `PUT /api/admin/settings/{key}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Setting {
    pub key: String,
    /// Always an object, such as `{"days": 90}`.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub value: Value,
}

/// The order to change a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateSetting {
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub value: Value,
}

impl FromBody for UpdateSetting {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let value = fields.value("value");
        let object = value.filter(|value| value.is_object());
        match (value, object) {
            (None, _) => fields.reject("value", "missing", "is required"),
            (Some(_), None) => fields.reject("value", "type", "must be an object"),
            _ => {}
        }
        Self { value: object.cloned().unwrap_or_else(|| Value::Object(Map::new())) }
    }
}

/// What the page needs before anyone is signed in: `GET /api/config`. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublicConfig {
    pub supabase_url: String,
    pub supabase_publishable_key: String,
}
