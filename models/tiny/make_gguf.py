"""Makes the tiny GGUF files beside this file and what the reference library computes with their weights.

Run in this folder: `python make_gguf.py`. Weights are compressed by ggml's own code, turned back into f32 by the
`gguf` package, and only then used by the reference, in f32 on the CPU from fixed seeds.
"""

import ctypes
import shutil
from pathlib import Path

import gguf
import llama_cpp
import numpy
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

HERE = Path(__file__).parent
SIZES = dict(
    vocab_size=320,
    hidden_size=256,
    intermediate_size=256,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=131072,
    rms_norm_eps=1e-5,
)
LENGTHS = [40, 9]
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=5e5,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN = dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=32)
PLAIN = dict(rope_type="default", rope_theta=1e6)

# Name, GGUF's name of the family, classes, settings, and the formats of the matrices by a part of their name; the
# last one that fits counts.
MODELS = [
    (
        "gguf-llama",
        "llama",
        (LlamaConfig, LlamaForCausalLM),
        dict(num_hidden_layers=2, rope_parameters=LLAMA3, attention_bias=True),
        [("", Kind.Q8_0), ("attn_k", Kind.Q5_0), ("attn_output", Kind.Q4_0), ("ffn_up", Kind.Q4_0), ("ffn_gate", Kind.Q5_1),
         ("blk.1.attn_q", Kind.F16), ("blk.1.ffn_down", Kind.BF16), ("blk.1.attn_v", Kind.Q4_1)],
    ),
    (
        "gguf-qwen2",
        "qwen2",
        (Qwen2Config, Qwen2ForCausalLM),
        dict(num_hidden_layers=2, rope_parameters=YARN, tie_word_embeddings=True),
        [("", Kind.Q4_K), ("attn_v", Kind.Q5_K), ("ffn_down", Kind.Q6_K), ("token_embd", Kind.Q6_K),
         ("blk.1.ffn_up", Kind.Q3_K)],
    ),
    (
        "gguf-qwen3moe",
        "qwen3moe",
        (Qwen3MoeConfig, Qwen3MoeForCausalLM),
        dict(
            num_hidden_layers=1,
            rope_parameters=PLAIN,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=256,
            norm_topk_prob=True,
        ),
        [("", Kind.Q4_K), ("ffn_down_exps", Kind.Q5_K), ("output", Kind.Q6_K), ("ffn_gate_inp", Kind.F32)],
    ),
]

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}

ggml = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p,
]


def compress(values, kind):
    """The bytes of `values` in a format, row by row."""
    values = numpy.ascontiguousarray(values, dtype=numpy.float32)
    if kind == Kind.F32:
        return values
    if kind == Kind.F16:
        return values.astype(numpy.float16)
    if kind == Kind.BF16:
        return gguf.quants.quantize(values, kind)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = numpy.zeros((*values.shape[:-1], values.shape[-1] // block * size), dtype=numpy.uint8)
    rows = values.size // values.shape[-1]
    pointer = lambda array: array.ctypes.data_as(ctypes.c_void_p)
    ggml.ggml_quantize_chunk(kind, pointer(values), pointer(out), 0, rows, values.shape[-1], None)
    return out


def interleave(values, heads):
    """Rows of halves as the pairs that Llama's files keep side by side."""
    return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def separate(values, heads):
    return values.reshape(heads, -1, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def file_name(name):
    name = name.removeprefix("model.")
    for theirs, ours in {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}.items():
        if name.startswith(theirs + "."):
            return name.replace(theirs, ours)
    layer, part = name.removeprefix("layers.").split(".", 1)
    part, kind = part.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def store(writer, name, values, formats):
    """Writes a tensor and gives back what the file holds."""
    kind = Kind.F32
    if values.ndim > 1:
        kind = [kind for part, kind in formats if name.startswith(part) or f".{part}" in name][-1]
    data = compress(values, kind)
    writer.add_tensor(name, data, raw_dtype=kind)
    return gguf.quants.dequantize(data, kind).reshape(values.shape)


@torch.no_grad()
def write(model, config, writer, family, formats):
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        values = parameter.numpy()
        if "mlp.experts." in name:
            layer = name.split(".")[2]
            if name.endswith("down_proj"):
                found = store(writer, f"blk.{layer}.ffn_down_exps.weight", values, formats)
            else:
                gate, up = numpy.split(values, 2, axis=1)
                gate = store(writer, f"blk.{layer}.ffn_gate_exps.weight", gate, formats)
                up = store(writer, f"blk.{layer}.ffn_up_exps.weight", up, formats)
                found = numpy.concatenate([gate, up], axis=1)
        else:
            stored = file_name(name)
            part = stored.split(".")[-2]
            if family == "llama" and part in heads:
                found = store(writer, stored, interleave(values, heads[part]), formats)
                found = separate(found, heads[part])
            else:
                found = store(writer, stored, values, formats)
        parameter.copy_(torch.from_numpy(found.copy()))


def metadata(writer, config, family):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim if hasattr(config, "head_dim") else 64)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_eos_token_id(2)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if family == "qwen3moe":
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)


def spread_weights(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.08, generator=generator)
        elif name.endswith("bias"):
            parameter.data.normal_(0.0, 0.3, generator=generator)
        else:
            parameter.data.normal_(1.0, 0.1, generator=generator)
    return model.eval()


@torch.no_grad()
def greedy(model, ids, count):
    """The likeliest tokens and the smallest lead one had over the next."""
    leads = []
    for _ in range(count):
        best = model(ids[None]).logits[0, -1].topk(2)
        leads.append(float(best.values[0] - best.values[1]))
        ids = torch.cat([ids, best.indices[:1]])
    return ids[-count:], min(leads)


@torch.no_grad()
def make(index, name, family, classes, settings, formats):
    make_config, make_model = classes
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sizes = dict(SIZES)
    if family == "qwen2":
        sizes.pop("head_dim")
    config = make_config(**sizes, **settings, attn_implementation="eager")
    model = spread_weights(make_model(config), 200 + index)
    writer = gguf.GGUFWriter(folder / "model.gguf", family)
    metadata(writer, config, family)
    if family == "llama":
        plain = 1.0 / (LLAMA3["rope_theta"] ** (torch.arange(0, 64, 2).float() / 64))
        divisors = (plain / model.model.rotary_emb.inv_freq).numpy()
        writer.add_tensor("rope_freqs.weight", divisors.astype(numpy.float32))
    write(model, config, writer, family, formats)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    golden = {}
    generator = torch.Generator().manual_seed(7)
    for at, length in enumerate(LENGTHS):
        ids = torch.randint(4, 320, (length,), generator=generator)
        golden[f"ids_{at}"] = ids
        golden[f"logits_{at}"] = model(ids[None]).logits[0]
    # Positions that no short prompt reaches.
    long = (torch.arange(4200) * 37) % 316 + 4
    golden["logits_long"] = model(long[None], logits_to_keep=1).logits[0, 0]
    # A prompt whose answer leads by so much that rounded inputs cannot change it.
    tries = [torch.randint(4, 320, (8,), generator=generator) for _ in range(200)]
    tokens, lead, prompt = max(((*greedy(model, ids, 8), ids) for ids in tries), key=lambda found: found[1])
    golden["greedy_ids"], golden["greedy"] = prompt, tokens
    save_file({key: value.contiguous().clone() for key, value in golden.items()}, folder / "golden.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    spread = golden["logits_0"].std()
    print(f"{name}: {size / 1024:.0f} KiB, logits of {spread:.2f}, greedy tokens lead by {lead:.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for index, model in enumerate(MODELS):
        make(index, *model)
