//! How a product's fields become the prompt of an image model.

use crate::api::scenes::CreateScene;

/// The prompt of a scene: its subject first, since encoders weigh early tokens most, in the user's own words.
///
/// The embedded model was trained on this very template, and large models read it as well.
pub fn scene_prompt(scene: &CreateScene) -> String {
    [&scene.class, &scene.pose, &scene.decor, &scene.world, &scene.era]
        .map(|field| field.split_whitespace().collect::<Vec<_>>().join(" "))
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_the_subject_first_and_collapses_white_space() {
        let scene = CreateScene {
            world: "ice  kingdom".to_owned(),
            era: "medieval era".to_owned(),
            class: "a red wizard".to_owned(),
            pose: "on the left".to_owned(),
            decor: "a tall castle".to_owned(),
        };
        assert_eq!(
            scene_prompt(&scene),
            "a red wizard, on the left, a tall castle, ice kingdom, medieval era"
        );
    }
}
