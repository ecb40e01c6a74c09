//! The grammar of an answer that must, or may, call tools with valid arguments.

use serde_json::{Value, json};

use super::ToolDialect;
use crate::engines::{
    EngineError,
    text::{
        grammar::{GrammarCompiler, json_options},
        request::Constraint,
        vocabulary::Vocabulary,
    },
};

/// A function the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    /// The JSON schema of its arguments; `None` takes none.
    pub parameters: Option<Value>,
    /// Whether arguments must follow the schema to the letter, or the request be refused.
    pub is_strict: bool,
}

/// Whether tools are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// Never.
    None,
    /// As the model likes.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// What an answer that calls tools is parsed and demanded with.
#[derive(Debug, Clone, Copy)]
pub struct ToolRules<'a> {
    pub dialect: ToolDialect,
    pub tools: &'a [Tool],
    pub choice: &'a ToolChoice,
    /// Whether one answer may hold several calls.
    pub allows_parallel: bool,
}

/// The constraint that makes an answer keep to the rules; `None` where the model is free.
///
/// Arguments of a tool that is not strict follow its schema too, where the schema can be compiled.
pub fn tool_constraint(
    rules: &ToolRules<'_>,
    vocabulary: &Vocabulary,
    compiler: &GrammarCompiler,
) -> Result<Option<Constraint>, EngineError> {
    let tools: Vec<&Tool> = match rules.choice {
        ToolChoice::None => return Ok(None),
        ToolChoice::Auto if rules.tools.iter().all(|tool| !tool.is_strict) => return Ok(None),
        ToolChoice::Auto | ToolChoice::Required => rules.tools.iter().collect(),
        ToolChoice::Named(name) => rules.tools.iter().filter(|tool| tool.name == *name).collect(),
    };
    if tools.is_empty() {
        return Err(EngineError::InvalidInput(
            "tool_choice asks for a tool that is not in tools".into(),
        ));
    }
    let mut lark = start(rules, vocabulary)?;
    let names: Vec<String> = (0..tools.len()).map(|index| format!("call_{index}")).collect();
    lark.push_str(&format!("call: {}\n", names.join(" | ")));
    for (index, tool) in tools.iter().enumerate() {
        let name = literal(&tool.name);
        let arguments = rules.dialect.arguments_name();
        let opening = literal(&format!("{{\"name\": {name}, \"{arguments}\": "));
        let schema = arguments_schema(tool, compiler)?;
        lark.push_str(&format!("call_{index}: {opening} arguments_{index} \"}}\"\n"));
        lark.push_str(&format!("arguments_{index}: %json {schema}\n"));
    }
    Ok(Some(Constraint::Lark(lark)))
}

/// The rules around the calls.
fn start(rules: &ToolRules<'_>, vocabulary: &Vocabulary) -> Result<String, EngineError> {
    let more = |separator: &str| {
        if rules.allows_parallel {
            format!(" ({} call)*", literal(separator))
        } else {
            String::new()
        }
    };
    let is_auto = *rules.choice == ToolChoice::Auto;
    let any = r"/(.|\n)*/";
    Ok(match rules.dialect {
        ToolDialect::Hermes => {
            let close = literal("\n</tool_call>");
            let open = literal("<tool_call>\n");
            let again = if rules.allows_parallel {
                format!(" (\"\\n\" {open} call {close})*")
            } else {
                String::new()
            };
            if is_auto {
                format!(
                    "start: said | saying \"\\n\" call {close}{again}\n\
                     said: SAID\nSAID: {any} & ~/(.|\\n)*<tool_call>(.|\\n)*/\n\
                     saying[lazy]: /(.|\\n)*<tool_call>/\n"
                )
            } else {
                format!("start: {open} call {close}{again}\n")
            }
        }
        ToolDialect::Llama => {
            let calls = format!("call{}", more("; "));
            if is_auto {
                format!("start: {calls} | SAID\nSAID: /([^{{](.|\\n)*)?/\n")
            } else {
                format!("start: {calls}\n")
            }
        }
        ToolDialect::Mistral => {
            let opening = rules.dialect.opening();
            let id = vocabulary.token(opening).ok_or_else(|| {
                EngineError::Failed(format!("the vocabulary has no {opening} for tool calls"))
            })?;
            // A control token is named by its id; an ordinary one is its text.
            let marker =
                if vocabulary.is_control(id) { format!("<[{id}]>") } else { literal(opening) };
            let calls = format!("{marker} \"[\" call{} \"]\"", more(", "));
            if is_auto {
                format!("start: SAID | SAID? {calls}\nSAID: {any}\n")
            } else {
                format!("start: {calls}\n")
            }
        }
    })
}

fn arguments_schema(tool: &Tool, compiler: &GrammarCompiler) -> Result<Value, EngineError> {
    let Some(schema) = &tool.parameters else {
        return json_options(
            &json!({"type": "object", "properties": {}, "additionalProperties": false}),
        );
    };
    match compiler.compile(&Constraint::JsonSchema(schema.clone())) {
        Ok(_) => json_options(schema),
        Err(EngineError::InvalidInput(fault)) if tool.is_strict => {
            Err(EngineError::InvalidInput(format!("tool {:?}: {fault}", tool.name)))
        }
        Err(EngineError::InvalidInput(_)) => json_options(&json!({"type": "object"})),
        Err(error) => Err(error),
    }
}

/// A text as a Lark string, which is written like one of JSON.
fn literal(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
#[path = "constraint_tests.rs"]
mod tests;
