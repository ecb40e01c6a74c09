//! Stories told to the whole running system: the edge in workerd, a node with the embedded model, Supabase.
//!
//! Knows the system through HTTP and the wire types of `shared` only. `npm run e2e` starts what it needs.

pub mod answers;
pub mod assertions;
pub mod client;
pub mod events;
pub mod issuer;
pub mod node;
pub mod receiver;
pub mod stack;
pub mod supabase;
pub mod tokens;
