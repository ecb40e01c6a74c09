//! Grimoire's scenes: five phrases become a stored picture.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{SceneId, UserId},
    limits::SCENE_FIELD_MAX_CHARS,
    validate::{Fields, FromBody},
};

/// The order for a scene; also the `input` of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateScene {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub world: String,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub era: String,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub class: String,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub pose: String,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub decor: String,
}

impl FromBody for CreateScene {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            world: fields.text("world", SCENE_FIELD_MAX_CHARS),
            era: fields.text("era", SCENE_FIELD_MAX_CHARS),
            class: fields.text("class", SCENE_FIELD_MAX_CHARS),
            pose: fields.text("pose", SCENE_FIELD_MAX_CHARS),
            decor: fields.text("decor", SCENE_FIELD_MAX_CHARS),
        }
    }
}

/// A stored scene: a row of `scenes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scene {
    /// The id of the job that made it.
    pub id: SceneId,
    pub user_id: UserId,
    pub world: String,
    pub era: String,
    pub class: String,
    pub pose: String,
    pub decor: String,
    /// Where the edge serves the picture to its owner: `/api/scenes/{id}/image`.
    pub image_url: String,
    /// Always `completed`: a scene exists once its picture is stored.
    pub status: String,
    /// RFC 3339.
    pub created_at: String,
}
