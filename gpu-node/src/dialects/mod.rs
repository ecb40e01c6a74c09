//! RunPod's and Replicate's words for the node's one queue, free of HTTP: ids, inputs, bodies, and what their callers
//! ask beyond an order (time limits, webhooks).

pub mod attend;
pub mod ids;
pub mod input;
pub mod order;
pub mod replicate;
pub mod runpod;
