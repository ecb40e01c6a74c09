//! A text model's part of `gpu-node generate`: the answer on standard output as it is written.

use std::{
    io::{Write, stdout},
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::Map;
use shared::node::text::{ChatMessage, Role};

use crate::{
    engines::{
        Devices,
        text::{
            batching::{Batch, News, RequestId},
            request::{TextEvent, TextUsage},
        },
    },
    error::Error,
    registry::{Manifest, TextDefaults, load_text_model, load_words},
    say::say,
    text::{
        AnswerPart, ChatOrder, CompletionOrder, Generation, ModelLanguage, Prepared, Prompt,
        SamplingWishes, ToolChoice, prepare_chat, prepare_completion,
    },
};

/// What only text models take.
#[derive(Args)]
pub(super) struct TextArgs {
    /// Most tokens of a text.
    #[arg(long)]
    max_tokens: Option<usize>,
    /// 0 always takes the likeliest token.
    #[arg(long)]
    temperature: Option<f32>,
    /// Go on with the prompt as it is, instead of answering it as a message.
    #[arg(long)]
    raw: bool,
}

/// Writes an answer to the prompt, or goes on with it.
pub(super) fn write_text(
    manifest: &Manifest,
    defaults: &TextDefaults,
    prompt: String,
    seed: Option<u64>,
    args: TextArgs,
) -> Result<()> {
    let words = Arc::new(load_words(manifest)?);
    let is_chat = words.template.is_some() && !args.raw;
    let language = ModelLanguage::new(words.clone(), defaults.context_tokens);
    let generation = Generation {
        choices: 1,
        max_tokens: args.max_tokens,
        seed,
        sampling: SamplingWishes { temperature: args.temperature, ..SamplingWishes::default() },
        stop: Vec::new(),
    };
    let prepared = match is_chat {
        true => prepare_chat(&language, defaults, chat(manifest, prompt, generation)),
        false => {
            let order = CompletionOrder { prompt: Prompt::Text(prompt), generation };
            prepare_completion(&language, defaults, order)
        }
    };
    let prepared = prepared.map_err(describe)?;
    let devices = Devices::detect();
    let began = Instant::now();
    let loaded = load_text_model(manifest, &devices, &words)?;
    let settings = defaults.batch_settings(devices.kind() == "cuda");
    let mut batch = Batch::new(loaded, settings)?;
    let (load_s, seed) = (began.elapsed().as_secs_f64(), prepared.input.sampling.seed);
    let began = Instant::now();
    let usage = write(&mut batch, prepared)?;
    let write_s = began.elapsed().as_secs_f64();
    say(format_args!(
        "{} tokens read, {} written, seed {seed}, on {}; loaded in {load_s:.2} s, written in {write_s:.2} s",
        usage.prompt_tokens,
        usage.written_tokens,
        devices.kind(),
    ));
    Ok(())
}

fn chat(manifest: &Manifest, prompt: String, generation: Generation) -> ChatOrder {
    ChatOrder {
        model: manifest.name.clone(),
        messages: vec![ChatMessage::new(Role::User, prompt)],
        tools: Vec::new(),
        tool_choice: ToolChoice::None,
        callable: Vec::new(),
        parallel_tool_calls: true,
        format: None,
        reasoning_effort: None,
        template_values: Map::new(),
        generation,
    }
}

fn write(batch: &mut Batch, prepared: Prepared) -> Result<TextUsage> {
    let Prepared { input, mut readers } = prepared;
    batch.admit(RequestId(1), input)?;
    let mut reader = readers.pop().flatten();
    let mut out = stdout().lock();
    loop {
        for event in batch.step().events {
            let parts = match event.news {
                News::Emitted(TextEvent::Piece { text, .. }) => match &mut reader {
                    Some(reader) => reader.read(&text),
                    None => vec![AnswerPart::Content(text)],
                },
                News::Emitted(TextEvent::Ended { .. }) => {
                    reader.as_mut().map(|reader| reader.finish()).unwrap_or_default()
                }
                News::Emitted(TextEvent::Started { .. }) => Vec::new(),
                News::Completed(usage) => {
                    writeln!(out)?;
                    return Ok(usage);
                }
                News::Failed(error) => bail!(error),
            };
            for part in parts {
                if let AnswerPart::Content(text) | AnswerPart::Reasoning(text) = part {
                    write!(out, "{text}")?;
                }
            }
            out.flush()?;
        }
    }
}

fn describe(error: Error) -> anyhow::Error {
    match error {
        Error::InvalidFields(errors) => {
            let texts =
                errors.iter().map(|error| format!("{} {}", &error.pointer[1..], error.detail));
            anyhow!(texts.collect::<Vec<_>>().join("; "))
        }
        Error::Internal { cause } => anyhow!(cause),
        other => anyhow!(other),
    }
}
