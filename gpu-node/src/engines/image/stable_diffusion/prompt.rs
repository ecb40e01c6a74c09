//! From the words of a prompt to what the UNet reads: one encoder's last states, or two encoders' penultimate ones.

use std::path::Path;

use candle_core::{D, Device, Result, Tensor};

use super::super::pipeline::PipelineOptions;
use crate::engines::{
    config_file::ConfigFile,
    image::text_encoders::{ClipStates, ClipTextEncoder, PromptTokenizer},
};

/// One prompt or more, encoded.
#[derive(Debug, Clone)]
pub struct EncodedPrompt {
    /// `(prompts, length, width)`.
    pub text: Tensor,
    /// `(prompts, width)`: each prompt as one vector, for models that read it.
    pub pooled: Option<Tensor>,
}

impl EncodedPrompt {
    /// All of these as one batch.
    pub fn cat(prompts: &[&Self]) -> Result<Self> {
        let texts: Vec<&Tensor> = prompts.iter().map(|prompt| &prompt.text).collect();
        let pooled: Vec<&Tensor> =
            prompts.iter().filter_map(|prompt| prompt.pooled.as_ref()).collect();
        let pooled = (!pooled.is_empty()).then(|| Tensor::cat(&pooled, 0));
        Ok(Self { text: Tensor::cat(&texts, 0)?, pooled: pooled.transpose()? })
    }

    /// The same prompt for several pictures.
    pub(super) fn repeat(&self, count: usize) -> Result<Self> {
        let pooled = self.pooled.as_ref().map(|pooled| pooled.repeat((count, 1)));
        Ok(Self { text: self.text.repeat((count, 1, 1))?, pooled: pooled.transpose()? })
    }

    fn zeros_like(&self) -> Result<Self> {
        let pooled = self.pooled.as_ref().map(Tensor::zeros_like);
        Ok(Self { text: self.text.zeros_like()?, pooled: pooled.transpose()? })
    }
}

/// What reads the prompts of a Stable Diffusion.
pub enum PromptEncoder {
    /// Versions 1 and 2.
    One(Box<WordEncoder>),
    /// XL. `zeros_for_empty`: an empty negative prompt is no prompt at all, and steers away from zeros.
    Two { encoders: Box<[WordEncoder; 2]>, zeros_for_empty: bool },
}

impl PromptEncoder {
    /// `text_encoder` and `tokenizer` of a folder.
    pub(super) fn load_one(folder: &Path, options: &PipelineOptions) -> Result<Self> {
        Ok(Self::One(Box::new(WordEncoder::load(folder, "", options)?)))
    }

    /// `text_encoder`, `text_encoder_2` and their tokenizers, with what the folder's index says of them.
    pub(super) fn load_two(
        folder: &Path,
        index: &ConfigFile,
        options: &PipelineOptions,
    ) -> Result<Self> {
        let [first, second] = ["", "_2"].map(|suffix| WordEncoder::load(folder, suffix, options));
        let zeros_for_empty = index.get("force_zeros_for_empty_prompt", true)?;
        Ok(Self::Two { encoders: Box::new([first?, second?]), zeros_for_empty })
    }

    /// One prompt.
    pub fn encode(&self, prompt: &str) -> Result<EncodedPrompt> {
        match self {
            Self::One(encoder) => {
                Ok(EncodedPrompt { text: encoder.states(prompt)?.last, pooled: None })
            }
            Self::Two { encoders, .. } => {
                let (first, second) = (encoders[0].states(prompt)?, encoders[1].states(prompt)?);
                let text = Tensor::cat(&[first.penultimate, second.penultimate], D::Minus1)?;
                Ok(EncodedPrompt { text, pooled: Some(second.pooled) })
            }
        }
    }

    /// One prompt to steer away from.
    pub fn encode_negative(&self, prompt: &str) -> Result<EncodedPrompt> {
        let encoded = self.encode(prompt)?;
        match self {
            Self::Two { zeros_for_empty: true, .. } if prompt.is_empty() => encoded.zeros_like(),
            _ => Ok(encoded),
        }
    }
}

/// One encoder and its tokenizer.
pub struct WordEncoder {
    tokenizer: PromptTokenizer,
    encoder: ClipTextEncoder,
    device: Device,
}

impl WordEncoder {
    fn load(folder: &Path, suffix: &str, options: &PipelineOptions) -> Result<Self> {
        let part = |name: &str| folder.join(format!("{name}{suffix}"));
        let encoder = ClipTextEncoder::load(&part("text_encoder"), options.dtype, &options.device)?;
        let tokenizer = PromptTokenizer::load(&part("tokenizer"), encoder.positions()?)?;
        Ok(Self { tokenizer, encoder, device: options.device.clone() })
    }

    fn states(&self, prompt: &str) -> Result<ClipStates> {
        let ids = self.tokenizer.encode(prompt)?;
        let length = ids.len();
        self.encoder.states(&Tensor::from_vec(ids, (1, length), &self.device)?)
    }
}
