//! An order as a run keeps it: small, and still to be told from any other.

use sha2::{Digest, Sha256};
use shared::node::jobs::CreateNodeJob;

/// What only the same order gives, its pictures included.
pub(super) type OrderDigest = [u8; 32];

/// An order whose pictures have gone to its engine: they are megabytes, and a run is kept for as long as its results.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptOrder {
    /// Without its pictures.
    pub order: CreateNodeJob,
    pub(super) digest: OrderDigest,
}

impl From<CreateNodeJob> for KeptOrder {
    fn from(mut order: CreateNodeJob) -> Self {
        let mut hasher = Sha256::new();
        // A hash takes any bytes and the types hold nothing that JSON cannot, so this never fails.
        let _ = serde_json::to_writer(&mut hasher, &order);
        order.image.images = Vec::new();
        Self { order, digest: hasher.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use shared::{ids::JobId, node::image::ImageInput};

    use super::*;

    fn order(picture: &str) -> KeptOrder {
        let mut image = ImageInput::from_prompt("a fish".to_owned());
        image.images = vec![picture.to_owned()];
        CreateNodeJob { id: JobId::from_random([1; 16]), model: "tiny".to_owned(), image }.into()
    }

    #[test]
    fn orders_differ_by_their_pictures_which_are_not_kept() {
        let (first, other) = (order("AAAA"), order("AAAB"));
        assert_eq!(first, order("AAAA"));
        assert_ne!(first.digest, other.digest);
        assert_eq!(first.order, other.order);
        assert!(first.order.image.images.is_empty());
    }
}
