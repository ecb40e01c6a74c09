"""Makes the tiny decoders beside this file and what the reference library computes with them.

Run in this folder: `python make_text.py`. Everything is f32 on the CPU from fixed seeds; weights that are stored
in half precision are rounded before the reference computes.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

HERE = Path(__file__).parent
SIZES = dict(
    vocab_size=320,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=[2, 3],
)
# Longer than a block of the cache, shorter, and one token alone.
LENGTHS = [75, 17, 40, 1]


def rope(theta, **scaling):
    return {"rope_type": "default", **scaling, "rope_theta": theta}


def yarn(**more):
    return rope(1e6, rope_type="yarn", factor=4.0, original_max_position_embeddings=32, **more)


LLAMA3 = rope(
    5e5,
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)

# Name, classes, settings, kind of numbers on disk, and settings that are tried with the same weights.
DECODERS = [
    (
        "llama",
        (LlamaConfig, LlamaForCausalLM),
        dict(rope_parameters=LLAMA3),
        torch.float32,
        dict(
            plain_rope=dict(rope_parameters=rope(5e5)),
            linear_rope=dict(rope_parameters=rope(1e4, rope_type="linear", factor=4.0)),
        ),
    ),
    (
        "mistral",
        (MistralConfig, MistralForCausalLM),
        dict(rope_parameters=rope(1e4), sliding_window=24, head_dim=20),
        torch.float16,
        dict(no_window=dict(sliding_window=None)),
    ),
    (
        "qwen2",
        (Qwen2Config, Qwen2ForCausalLM),
        dict(rope_parameters=rope(1e6), tie_word_embeddings=True),
        torch.bfloat16,
        dict(
            yarn=dict(rope_parameters=yarn()),
            yarn_given=dict(
                rope_parameters=yarn(attention_factor=1.3, beta_fast=8.0, beta_slow=2.0)
            ),
            window=dict(use_sliding_window=True, sliding_window=20, max_window_layers=1),
        ),
    ),
    (
        "qwen3",
        (Qwen3Config, Qwen3ForCausalLM),
        dict(rope_parameters=rope(1e6), head_dim=32, tie_word_embeddings=True),
        torch.bfloat16,
        {},
    ),
    (
        "qwen3_moe",
        (Qwen3MoeConfig, Qwen3MoeForCausalLM),
        dict(
            rope_parameters=rope(1e6),
            head_dim=32,
            num_experts=8,
            num_experts_per_tok=3,
            moe_intermediate_size=32,
            norm_topk_prob=True,
            mlp_only_layers=[1],
        ),
        torch.bfloat16,
        dict(shares_as_they_are=dict(norm_topk_prob=False)),
    ),
]


def spread_weights(module, seed, dtype):
    """The usual initialisation is so small that mistakes would hide in the rounding."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.08, generator=generator)
        elif name.endswith("bias"):
            parameter.data.normal_(0.0, 0.3, generator=generator)
        else:
            parameter.data.normal_(1.0, 0.1, generator=generator)
        parameter.data = parameter.data.to(dtype).float()
    return module.eval()


def version_4(config):
    """The same settings as the fourth version of the library wrote them."""
    old = dict(config)
    parameters = dict(old.pop("rope_parameters"))
    old["rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    old["rope_scaling"] = None if kind == "default" else {"rope_type": kind, **parameters}
    if "num_local_experts" in old:
        old["num_experts"] = old.pop("num_local_experts")
    old["torch_dtype"] = old.pop("dtype", None)
    old["eos_token_id"] = 2
    return old


def greedy(model, ids, count):
    """The likeliest tokens; the runner-up must be so far behind that rounding cannot change the choice."""
    ids = ids.clone()
    for _ in range(count):
        best = model(ids[None]).logits[0, -1].topk(2)
        assert best.values[0] - best.values[1] > 2e-3, "choose another seed"
        ids = torch.cat([ids, best.indices[:1]])
    return ids[-count:]


@torch.no_grad()
def make(index, name, classes, settings, dtype, variants):
    make_config, make_model = classes
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    common = dict(attn_implementation="eager", **SIZES)
    model = make_model(make_config(**common, **settings))
    spread_weights(model, 100 + index, dtype)
    generator = torch.Generator().manual_seed(7)
    prompts = [torch.randint(4, 320, (length,), generator=generator) for length in LENGTHS]
    golden = {}
    for at, ids in enumerate(prompts):
        golden[f"ids_{at}"] = ids
        golden[f"logits_{at}"] = model(ids[None]).logits[0]
    golden["greedy"] = greedy(model, prompts[1], 16)
    states = model(prompts[2][None], output_hidden_states=True).hidden_states
    golden["hidden_2"] = torch.stack([state[0] for state in states])
    for variant, change in variants.items():
        other = make_model(make_config(**common, **{**settings, **change}))
        other.load_state_dict(model.state_dict())
        golden[f"logits_0.{variant}"] = other.eval()(prompts[0][None]).logits[0]
    shard = "150KB" if name == "qwen3" else "5GB"
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config_v4.json").write_text(json.dumps(version_4(config), indent=2) + "\n")
    if variants:
        (folder / "variants.json").write_text(json.dumps(variants, indent=2) + "\n")
    golden = {key: value.contiguous().clone() for key, value in golden.items()}
    save_file(golden, folder / "golden.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: {size / 1024:.0f} KiB, {sorted(path.name for path in folder.iterdir())}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for index, decoder in enumerate(DECODERS):
        make(index, *decoder)
