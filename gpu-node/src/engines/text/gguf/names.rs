//! The names of tensors: Hugging Face's, which decoders ask for, and GGUF's.

/// A tensor of the file, or one expert's part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) tensor: String,
    pub(super) expert: Option<usize>,
    /// The rows of Llama's queries and keys are stored in another order.
    pub(super) is_query_or_key: bool,
}

/// Where `name` lies in the file; `None` if GGUF has nothing like it.
pub(super) fn gguf_name(name: &str) -> Option<Name> {
    let whole = |tensor: String| Name { tensor, expert: None, is_query_or_key: false };
    let (stem, kind) = name.rsplit_once('.')?;
    match stem {
        "embed_tokens" => return Some(whole(format!("token_embd.{kind}"))),
        "norm" => return Some(whole(format!("output_norm.{kind}"))),
        "lm_head" => return Some(whole(format!("output.{kind}"))),
        _ => {}
    }
    let (layer, part) = stem.strip_prefix("layers.")?.split_once('.')?;
    layer.parse::<usize>().ok()?;
    if let Some(expert) = part.strip_prefix("mlp.experts.") {
        let (expert, part) = expert.split_once('.')?;
        let part = match part {
            "gate_proj" => "ffn_gate_exps",
            "up_proj" => "ffn_up_exps",
            "down_proj" => "ffn_down_exps",
            _ => return None,
        };
        let tensor = format!("blk.{layer}.{part}.{kind}");
        return Some(Name { tensor, expert: Some(expert.parse().ok()?), is_query_or_key: false });
    }
    let found = match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "mlp.gate" => "ffn_gate_inp",
        _ => return None,
    };
    let is_query_or_key = matches!(found, "attn_q" | "attn_k");
    Some(Name { is_query_or_key, ..whole(format!("blk.{layer}.{found}.{kind}")) })
}
