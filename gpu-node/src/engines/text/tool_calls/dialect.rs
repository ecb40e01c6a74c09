//! The ways models write tool calls.

/// How a model family writes a call of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolDialect {
    /// Qwen and Hermes: `<tool_call>` and `</tool_call>` around `{"name": …, "arguments": {…}}`.
    Hermes,
    /// Llama 3: `{"name": …, "parameters": {…}}` as the whole answer.
    Llama,
    /// Mistral: `[TOOL_CALLS]` and a list of `{"name": …, "arguments": {…}}`.
    Mistral,
}

impl ToolDialect {
    /// The dialect that a chat template teaches; `None` when it knows no tools.
    pub fn of_template(source: &str) -> Option<Self> {
        if !source.contains("tools") {
            None
        } else if source.contains("[TOOL_CALLS]") {
            Some(Self::Mistral)
        } else if source.contains("<tool_call>") {
            Some(Self::Hermes)
        } else if source.contains("\"parameters\"") || source.contains("<|python_tag|>") {
            Some(Self::Llama)
        } else {
            None
        }
    }

    /// What a call begins with.
    pub(super) fn opening(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>",
            Self::Llama => "<|python_tag|>",
            Self::Mistral => "[TOOL_CALLS]",
        }
    }

    /// The member of a call that holds its arguments.
    pub(super) fn arguments_name(self) -> &'static str {
        match self {
            Self::Llama => "parameters",
            Self::Hermes | Self::Mistral => "arguments",
        }
    }
}
