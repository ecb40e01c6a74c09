//! Every parameter of the OpenAI routes and what becomes of it: the parser reads this table, and so does
//! `docs/openai-parameters.md`. A name that is not here is refused.

use Treatment::{Honoured, Limited, NoEffect, Refused};

pub use super::image_parameters::{IMAGE_EDITS, IMAGES};

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It does what OpenAI says; the text says how, or what is special here.
    Honoured(&'static str),
    /// Some values are honoured; the others are refused.
    Limited(&'static str),
    /// Accepted, named in the answer's `x-parameters-without-effect`, and nothing comes of it.
    NoEffect(&'static str),
    /// Any value but `null` is a 400 with this text.
    Refused(&'static str),
}

/// One parameter; fields of objects are written `outer.inner`, items of lists `outer[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    pub name: &'static str,
    pub treatment: Treatment,
}

pub(super) const fn row(name: &'static str, treatment: Treatment) -> Parameter {
    Parameter { name, treatment }
}

const TEXT_ONLY: &str = "the text models of this node read and write text only";
const NO_CUSTOM: &str =
    "tools with free-form input are not offered: describe the tool as a function";
const OLD_FUNCTIONS: &str = "was replaced by `tools` and `tool_choice`: use those";
pub(super) const NO_PERSON: &str = "the node keeps nothing about the people behind its callers";
const SHARED_PREFIXES: &str = "every request shares the prefixes of all others by their content";
const PARSED: &str = "what OpenAI's own client adds to an answer that it parsed";
const GENERATED: &str =
    "what an earlier answer carried beside its text is not shown to the model again";

/// `POST /v1/chat/completions`.
pub const CHAT: &[Parameter] = &[
    row("audio", Refused(TEXT_ONLY)),
    row(
        "chat_template_kwargs",
        Honoured(
            "extra: values for the model's chat template, such as `enable_thinking`; a name the template does not read is refused",
        ),
    ),
    row("frequency_penalty", Honoured("-2 to 2")),
    row("function_call", Refused(OLD_FUNCTIONS)),
    row("functions", Refused(OLD_FUNCTIONS)),
    row("logit_bias", Honoured("token ids of the model's own vocabulary; -100 to 100")),
    row("logprobs", Honoured("of every generated token, before temperature and cuts")),
    row(
        "max_completion_tokens",
        Honoured("bounded by the context; to its end when absent, or as the model's manifest says"),
    ),
    row(
        "max_tokens",
        Honoured("the old name of `max_completion_tokens`; both together are refused"),
    ),
    row("messages", Honoured("at least one")),
    row("messages[].annotations", NoEffect(GENERATED)),
    row("messages[].audio", Refused(TEXT_ONLY)),
    row("messages[].content", Honoured("a text or a list of text parts, which are joined")),
    row("messages[].content[].file", Refused(TEXT_ONLY)),
    row("messages[].content[].image_url", Refused(TEXT_ONLY)),
    row("messages[].content[].input_audio", Refused(TEXT_ONLY)),
    row("messages[].content[].prompt_cache_breakpoint", NoEffect(SHARED_PREFIXES)),
    row("messages[].content[].refusal", Honoured("read as the text of the turn")),
    row("messages[].content[].text", Honoured("")),
    row("messages[].content[].type", Limited("`text`, and `refusal` in an assistant's turn")),
    row("messages[].function_call", Refused(OLD_FUNCTIONS)),
    row("messages[].name", Honoured("given to the chat template")),
    row("messages[].parsed", NoEffect(PARSED)),
    row("messages[].reasoning_content", NoEffect(GENERATED)),
    row("messages[].refusal", Honoured("read as the text of the turn when it has no content")),
    row(
        "messages[].role",
        Limited(
            "`developer`, `system`, `user`, `assistant` and `tool`; `function` was replaced by `tool`",
        ),
    ),
    row("messages[].tool_call_id", Honoured("required in a tool's turn")),
    row("messages[].tool_calls", Honoured("")),
    row("messages[].tool_calls[].custom", Refused(NO_CUSTOM)),
    row("messages[].tool_calls[].function", Honoured("")),
    row("messages[].tool_calls[].function.arguments", Honoured("a text that holds a JSON object")),
    row("messages[].tool_calls[].function.name", Honoured("")),
    row("messages[].tool_calls[].function.parsed_arguments", NoEffect(PARSED)),
    row("messages[].tool_calls[].id", Honoured("")),
    row("messages[].tool_calls[].index", NoEffect(PARSED)),
    row("messages[].tool_calls[].type", Limited("`function`")),
    row("metadata", NoEffect("it labels stored answers, and the node stores none")),
    row(
        "min_p",
        Honoured("extra: keeps tokens at least this likely relative to the likeliest; 0 to 1"),
    ),
    row("modalities", Limited("`[\"text\"]`")),
    row("model", Honoured("a text model of `GET /v1/models`")),
    row("moderation", Refused("this node has no moderation model")),
    row("n", Honoured("1 to 128; each continuation has its own random numbers")),
    row("parallel_tool_calls", Honoured("with `false` an answer has one call at most")),
    row("prediction", NoEffect("it only speeds an answer up, and changes none of it")),
    row("presence_penalty", Honoured("-2 to 2")),
    row("prompt_cache_key", NoEffect(SHARED_PREFIXES)),
    row(
        "prompt_cache_options",
        Refused("the cache of prefixes has no settings: it finds them by itself"),
    ),
    row(
        "prompt_cache_retention",
        Limited("`in_memory`: prefixes are kept in memory while there is room"),
    ),
    row(
        "reasoning_effort",
        Limited(
            "given to a chat template that reads it; where a template only knows `enable_thinking`, `none` switches thinking off and all others switch it on; a model that does not think takes `none` alone",
        ),
    ),
    row(
        "repetition_penalty",
        Honoured("extra: divides the logits of tokens that were there; 0.1 to 10"),
    ),
    row("response_format", Honoured("not with tools that may be called")),
    row(
        "response_format.grammar",
        Honoured("for `grammar`: a context-free grammar in llguidance's Lark dialect"),
    ),
    row("response_format.json_schema", Honoured("for `json_schema`")),
    row("response_format.json_schema.description", NoEffect("the schema alone shapes the answer")),
    row(
        "response_format.json_schema.name",
        Honoured("1 to 64 letters, digits, dashes and underscores"),
    ),
    row("response_format.json_schema.schema", Honoured("any JSON object when absent")),
    row(
        "response_format.json_schema.strict",
        Honoured(
            "with `true` OpenAI's own demands are checked: every object closed, every property required",
        ),
    ),
    row(
        "response_format.pattern",
        Honoured("for `regex`: a regular expression that the whole answer matches"),
    ),
    row(
        "response_format.type",
        Limited(
            "`text`, `json_object`, `json_schema`, and as extras `regex` and `grammar`; `python` is refused",
        ),
    ),
    row("safety_identifier", NoEffect(NO_PERSON)),
    row(
        "seed",
        Honoured(
            "random when absent; with the same `system_fingerprint` it fixes the answer; negative ones count too",
        ),
    ),
    row("service_tier", Limited("`auto` and `default`: there is one tier")),
    row("stop", Honoured("a text or up to 4; they are not part of the answer")),
    row("store", Limited("`false`: nothing is stored")),
    row("stream", Honoured("")),
    row("stream_options", Honoured("only with `stream`")),
    row(
        "stream_options.include_obfuscation",
        Honoured("off when absent: the node is called over a private or encrypted line"),
    ),
    row("stream_options.include_usage", Honoured("")),
    row(
        "temperature",
        Honoured(
            "0 to 2; 0 always takes the likeliest token; the model's own default when absent, as for the next ones: 1 unless its manifest says otherwise",
        ),
    ),
    row(
        "tool_choice",
        Limited(
            "`none`, `auto`, `required`, a function, or `allowed_tools`; custom tools are refused",
        ),
    ),
    row("tool_choice.allowed_tools", Honoured("")),
    row("tool_choice.allowed_tools.mode", Honoured("`auto` or `required`")),
    row("tool_choice.allowed_tools.tools", Honoured("")),
    row("tool_choice.allowed_tools.tools[].custom", Refused(NO_CUSTOM)),
    row("tool_choice.allowed_tools.tools[].function", Honoured("")),
    row("tool_choice.allowed_tools.tools[].function.name", Honoured("")),
    row("tool_choice.allowed_tools.tools[].type", Limited("`function`")),
    row("tool_choice.custom", Refused(NO_CUSTOM)),
    row("tool_choice.function", Honoured("")),
    row("tool_choice.function.name", Honoured("")),
    row("tool_choice.type", Limited("`function` and `allowed_tools`")),
    row("tools", Honoured("up to 128 functions")),
    row("tools[].custom", Refused(NO_CUSTOM)),
    row("tools[].function", Honoured("")),
    row("tools[].function.description", Honoured("given to the chat template")),
    row(
        "tools[].function.name",
        Honoured("1 to 64 letters, digits, dashes and underscores, each once"),
    ),
    row("tools[].function.parameters", Honoured("a JSON schema that the arguments follow")),
    row(
        "tools[].function.strict",
        Honoured("with `true` OpenAI's own demands on the schema are checked"),
    ),
    row("tools[].type", Limited("`function`")),
    row("top_k", Honoured("extra: keeps the likeliest so many; 0 and -1 keep all")),
    row("top_logprobs", Honoured("0 to 20; needs `logprobs`")),
    row("top_p", Honoured("0 to 1")),
    row("user", NoEffect(NO_PERSON)),
    row("verbosity", Limited("`medium`: no model here was trained to be terser or wordier")),
    row("web_search_options", Refused("the node reaches nothing on the web")),
];

/// `POST /v1/completions`.
pub const COMPLETIONS: &[Parameter] = &[
    row(
        "best_of",
        Honoured(
            "up to 20, at least `n`: those with the highest mean log-probability are given; not with `stream`",
        ),
    ),
    row("echo", Honoured("the prompt before the answer; not with `logprobs`")),
    row("frequency_penalty", Honoured("-2 to 2")),
    row("logit_bias", Honoured("token ids of the model's own vocabulary; -100 to 100")),
    row("logprobs", Honoured("0 to 5")),
    row("max_tokens", Honoured("16 when absent, bounded by the context")),
    row(
        "min_p",
        Honoured("extra: keeps tokens at least this likely relative to the likeliest; 0 to 1"),
    ),
    row("model", Honoured("a text model of `GET /v1/models`")),
    row("n", Honoured("1 to 128 for each prompt")),
    row("presence_penalty", Honoured("-2 to 2")),
    row("prompt", Honoured("a text, tokens, or up to 128 of either")),
    row(
        "repetition_penalty",
        Honoured("extra: divides the logits of tokens that were there; 0.1 to 10"),
    ),
    row(
        "seed",
        Honoured(
            "random when absent; with the same `system_fingerprint` it fixes the answer; negative ones count too",
        ),
    ),
    row("stop", Honoured("a text or up to 4; they are not part of the answer")),
    row("stream", Honoured("")),
    row("stream_options", Honoured("only with `stream`")),
    row(
        "stream_options.include_obfuscation",
        Refused("the stream of this route has no such field"),
    ),
    row("stream_options.include_usage", Honoured("")),
    row("suffix", Refused("no model here was trained to fill a gap")),
    row(
        "temperature",
        Honoured(
            "0 to 2; 0 always takes the likeliest token; the model's own default when absent, as for the next ones: 1 unless its manifest says otherwise",
        ),
    ),
    row("top_k", Honoured("extra: keeps the likeliest so many; 0 and -1 keep all")),
    row("top_p", Honoured("0 to 1")),
    row("user", NoEffect(NO_PERSON)),
];

/// `POST /v1/embeddings`.
pub const EMBEDDINGS: &[Parameter] = &[
    row(
        "dimensions",
        Honoured(
            "keeps the first so many numbers and brings them back to length 1, where the model was trained for it; otherwise only its own size",
        ),
    ),
    row("encoding_format", Honoured("`float` or `base64` (little-endian 32-bit floats)")),
    row(
        "input",
        Honoured(
            "a text, tokens, or up to 2048 of either; none empty, none longer than the model's context",
        ),
    ),
    row("model", Honoured("an embedding model of `GET /v1/models`")),
    row("user", NoEffect(NO_PERSON)),
];

/// The row of that name.
pub fn find(table: &'static [Parameter], name: &str) -> Option<&'static Parameter> {
    table.iter().find(|parameter| parameter.name == name)
}

/// The page that lists them all.
pub fn document() -> String {
    let mut page = String::from(concat!(
        "# Parameters of the OpenAI routes\n\n",
        "Written by `gpu-node/src/http/openai/parameters.rs`, the table that the parser itself reads (spec 2.3.0); ",
        "`cargo test -p gpu-node --test http_openai` fails when this page and the table differ, and ",
        "`UPDATE_DOCS=1` writes it anew.\n\n",
        "- **honoured**: it does what OpenAI says.\n",
        "- **in part**: some values are honoured, the others are refused.\n",
        "- **no effect**: accepted, and named in the answer's `x-parameters-without-effect` header.\n",
        "- **refused**: a 400 that names the parameter and says why. So is every name that is not listed.\n",
        "\n`null` counts as absent everywhere. Extras are ours, and no part of OpenAI's own API.\n",
        "\nAn answer with pictures names its job in `x-job-id`: it is a job of the node's own protocol too. Image models have ",
        "no tokens, so `usage` counts one for four characters of the prompt and one for 16 x 16 pixels of a picture.\n",
    ));
    let tables = [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", COMPLETIONS),
        ("/v1/embeddings", EMBEDDINGS),
        ("/v1/images/generations", IMAGES),
        ("/v1/images/edits", IMAGE_EDITS),
    ];
    for (route, table) in tables {
        page.push_str(&format!(
            "\n## `POST {route}`\n\n| parameter | | how, or why not |\n|---|---|---|\n"
        ));
        for Parameter { name, treatment } in table {
            let (verb, text) = match treatment {
                Honoured(text) => ("honoured", text),
                Limited(text) => ("in part", text),
                NoEffect(text) => ("no effect", text),
                Refused(text) => ("refused", text),
            };
            page.push_str(&format!("| `{name}` | {verb} | {text} |\n"));
        }
    }
    page
}
