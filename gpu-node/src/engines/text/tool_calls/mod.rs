//! Calls of a caller's functions, as the model families write them: read out of an answer, or demanded of it.

mod constraint;
mod dialect;
mod json_scanner;
mod parser;

pub use constraint::{Tool, ToolChoice, ToolRules, tool_constraint};
pub use dialect::ToolDialect;
pub use parser::{ToolCallParser, ToolPiece};
