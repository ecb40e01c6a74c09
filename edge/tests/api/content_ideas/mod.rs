//! `/api/content-ideas/*`.

pub mod generate;
mod validation;
