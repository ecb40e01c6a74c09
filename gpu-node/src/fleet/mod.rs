//! How the node joins an edge by itself: it registers, tells its load, and says goodbye.
//!
//! The edge may be away at any moment; that is logged and never stops the node.

mod client;
mod membership;

pub use client::{EdgeClient, FleetError};
pub use membership::{Membership, Pace};
