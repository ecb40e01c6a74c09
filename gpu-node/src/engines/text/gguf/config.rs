//! A decoder's shape from the metadata of a GGUF file.

use candle_core::{Result, bail};

use super::{file::GgufFile, header::Value};
use crate::engines::text::config::{
    Biases, DecoderConfig, ExpertsConfig, LayerConfig, Rope, RopeScaling, check_sizes,
};

/// Keys of tokens that end an answer.
pub(super) const END_TOKENS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

impl GgufFile {
    /// The family that computes this model: `llama`, `qwen2`, `qwen3` or `qwen3moe`.
    pub fn architecture(&self) -> Result<&str> {
        match self.text("general.architecture")? {
            Some(name @ ("llama" | "qwen2" | "qwen3" | "qwen3moe")) => Ok(name),
            Some(other) => bail!("models of the architecture `{other}` are not computed"),
            None => bail!("`general.architecture` is missing"),
        }
    }

    /// The decoder's shape; what it does not compute is refused by name.
    pub fn config(&self) -> Result<DecoderConfig> {
        let hidden = self.size("embedding_length")?;
        let heads = self.size("attention.head_count")?;
        let kv_heads = self.find_size("attention.head_count_kv")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            bail!("{kv_heads} heads of keys do not divide {heads} heads")
        }
        let head_width = self.find_size("attention.key_length")?.unwrap_or(hidden / heads);
        let value_width = self.find_size("attention.value_length")?.unwrap_or(head_width);
        let turned = self.find_size("rope.dimension_count")?.unwrap_or(head_width);
        if head_width < 2
            || head_width % 2 != 0
            || value_width != head_width
            || turned != head_width
        {
            bail!(
                "keys of {head_width}, values of {value_width} and {turned} rotated numbers are not computed together"
            )
        }
        let Some(&[width, vocab_size]) = self.dims("token_embd.weight") else {
            bail!("`token_embd.weight` is missing or no matrix")
        };
        check_sizes(self.size("block_count")?, vocab_size)?;
        if width != hidden {
            bail!("`token_embd.weight` is {width} wide instead of {hidden}")
        }
        let feed_forward = self.find_size("feed_forward_length")?;
        Ok(DecoderConfig {
            vocab_size,
            hidden,
            heads,
            kv_heads,
            head_width,
            feed_forward: feed_forward.unwrap_or(0),
            layers: self.layers()?,
            experts: self.experts(feed_forward)?,
            norm_eps: match self.find_number("attention.layer_norm_rms_epsilon")? {
                Some(eps) => eps as f32,
                None => bail!("`attention.layer_norm_rms_epsilon` is missing"),
            },
            rope: self.rope(head_width)?,
            context_tokens: self.size("context_length")?,
            has_tied_embeddings: !self.has("output.weight"),
            biases: Biases {
                qkv: self.has("blk.0.attn_q.bias"),
                output: self.has("blk.0.attn_output.bias"),
                feed_forward: self.has("blk.0.ffn_gate.bias"),
            },
            has_head_norms: self.has("blk.0.attn_q_norm.weight"),
            end_tokens: END_TOKENS
                .iter()
                .map(|key| self.token(key))
                .filter_map(Result::transpose)
                .collect::<Result<_>>()?,
        })
    }

    fn layers(&self) -> Result<Vec<LayerConfig>> {
        let count = self.size("block_count")?;
        let window = self.find_size("attention.sliding_window")?;
        // A count is believed as far as there are tensors for it.
        if !self.has(&format!("blk.{}.attn_norm.weight", count - 1)) {
            bail!("the file has less than {count} layers")
        }
        let is_sparse = |index| self.has(&format!("blk.{index}.ffn_gate_inp.weight"));
        Ok((0..count).map(|index| LayerConfig { window, is_sparse: is_sparse(index) }).collect())
    }

    fn experts(&self, feed_forward: Option<usize>) -> Result<Option<ExpertsConfig>> {
        let Some(count) = self.find_size("expert_count")? else { return Ok(None) };
        let per_token = self.size("expert_used_count")?;
        if per_token > count {
            bail!("{per_token} of {count} experts cannot be chosen")
        }
        if self.has("blk.0.ffn_gate_inp_shexp.weight") {
            bail!("experts that all tokens share are not computed")
        }
        let width = self.find_size("expert_feed_forward_length")?.or(feed_forward);
        let Some(width) = width else { bail!("`expert_feed_forward_length` is missing") };
        let normalises_shares = match self.value("expert_weights_norm")? {
            None => true,
            Some(Value::Bool(normalises)) => *normalises,
            Some(other) => bail!("`expert_weights_norm` is {other:?}"),
        };
        Ok(Some(ExpertsConfig { count, per_token, width, normalises_shares }))
    }

    fn rope(&self, head_width: usize) -> Result<Rope> {
        let theta = self.find_number("rope.freq_base")?.unwrap_or(10_000.0);
        let factor = match self.find_number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.find_number("rope.scale_linear")?,
        };
        let factor = factor.filter(|factor| *factor != 0.0);
        let kind = self.value("rope.scaling.type")?;
        let scaling = match (kind, factor) {
            (Some(Value::Text(kind)), Some(factor)) if kind == "yarn" => self.yarn(factor)?,
            (Some(Value::Text(kind)), _) if kind == "none" => RopeScaling::None,
            (_, None) => RopeScaling::None,
            (None, Some(factor)) => RopeScaling::Linear { factor },
            (Some(Value::Text(kind)), Some(factor)) if kind == "linear" => {
                RopeScaling::Linear { factor }
            }
            (Some(other), _) => bail!("`rope.scaling.type` = {other:?} is not computed"),
        };
        let mut rope = Rope::new(theta, head_width, scaling);
        // Llama 3.1 and later: the stretching is a divisor of each frequency.
        if self.has("rope_freqs.weight") {
            let divisors = self.floats("rope_freqs.weight", head_width / 2)?;
            for (frequency, divisor) in rope.frequencies.iter_mut().zip(divisors) {
                *frequency /= divisor;
            }
        }
        if !rope.frequencies.iter().all(|frequency| frequency.is_finite()) {
            bail!("the frequencies of the positions are not finite")
        }
        Ok(rope)
    }

    fn yarn(&self, factor: f64) -> Result<RopeScaling> {
        let number = |key: &str, default: f64| -> Result<f64> {
            Ok(self.find_number(&format!("rope.scaling.{key}"))?.unwrap_or(default))
        };
        let original = self.find_number("rope.scaling.original_context_length")?;
        let context = self.size("context_length")? as f64;
        // Multiplies the temperature that follows from the factor.
        let attention = self.find_number("rope.scaling.attn_factor")?;
        let usual = 0.1 * factor.max(1.0).ln() + 1.0;
        Ok(RopeScaling::Yarn {
            factor,
            fast_turns: number("yarn_beta_fast", 32.0)?,
            slow_turns: number("yarn_beta_slow", 1.0)?,
            original_context: original.unwrap_or(context),
            attention: attention.map(|attention| attention * usual),
            rounds_ramp: true,
        })
    }

    /// The value of `<architecture>.<key>`.
    fn value(&self, key: &str) -> Result<Option<&Value>> {
        Ok(self.metadata.get(&format!("{}.{key}", self.architecture()?)))
    }

    fn find_number(&self, key: &str) -> Result<Option<f64>> {
        match self.value(key)? {
            None => Ok(None),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(*number)),
            Some(Value::Unsigned(number)) => Ok(Some(*number as f64)),
            Some(Value::Signed(number)) => Ok(Some(*number as f64)),
            Some(other) => bail!("`{key}` is {other:?}"),
        }
    }

    /// A size above zero; models whose layers differ write a list, of which all must be the same here.
    fn find_size(&self, key: &str) -> Result<Option<usize>> {
        let value = match self.value(key)? {
            Some(Value::List(values)) if values.windows(2).all(|pair| pair[0] == pair[1]) => {
                values.first()
            }
            value => value,
        };
        let size = match value {
            None => return Ok(None),
            Some(Value::Unsigned(size)) => usize::try_from(*size).ok(),
            Some(Value::Signed(size)) => usize::try_from(*size).ok(),
            Some(_) => None,
        };
        match size {
            Some(size @ 1..=0xffff_ffff) => Ok(Some(size)),
            _ => bail!("`{key}` is {value:?}"),
        }
    }

    fn size(&self, key: &str) -> Result<usize> {
        match self.find_size(key)? {
            Some(size) => Ok(size),
            None => bail!("`{key}` is missing"),
        }
    }

    /// A text of the metadata.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => bail!("`{key}` is {other:?}"),
        }
    }
}
