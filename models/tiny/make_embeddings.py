"""Makes the tiny embedding models beside this file and what the reference library computes with them.

Run in this folder: `python make_embeddings.py`. Everything is f32 on the CPU from fixed seeds.
"""

import json
import shutil
from pathlib import Path

import torch
from make_text import rope, spread_weights
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

HERE = Path(__file__).parent
LENGTHS = [9, 9, 23, 5, 1]
SIZES = dict(
    vocab_size=320,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=48,
)

# Name, classes, settings, how the tokens' states become one vector, most tokens.
MODELS = [
    ("bert", (BertConfig, BertModel), {}, "mean_tokens", 40),
    (
        "xlm-roberta",
        (XLMRobertaConfig, XLMRobertaModel),
        dict(type_vocab_size=1, layer_norm_eps=1e-5),
        "cls_token",
        None,
    ),
    (
        "qwen3-embedding",
        (Qwen3Config, Qwen3Model),
        dict(rope_parameters=rope(1e6), num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-6),
        "lasttoken",
        None,
    ),
]


def pool(states, mode):
    if mode == "mean_tokens":
        return states.mean(0)
    return states[0] if mode == "cls_token" else states[-1]


def unit(vector):
    return torch.nn.functional.normalize(vector, dim=-1)


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_modules(folder, mode, most):
    """The files that the sentence-transformers library adds."""
    names = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": path,
            "type": f"sentence_transformers.models.{name}",
        }
        for index, (name, path) in enumerate(zip(names, paths))
    ]
    write(folder / "modules.json", modules)
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken"]
    pooling = {f"pooling_mode_{name}": name == mode for name in modes}
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32, **pooling})
    if most is not None:
        limits = {"max_seq_length": most, "do_lower_case": False}
        write(folder / "sentence_bert_config.json", limits)


@torch.no_grad()
def make(index, name, classes, settings, mode, most):
    make_config, make_model = classes
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    config = make_config(**{**SIZES, **settings}, attn_implementation="eager")
    arguments = {} if name == "qwen3-embedding" else dict(add_pooling_layer=False)
    model = spread_weights(make_model(config, **arguments), 200 + index, torch.float32)
    generator = torch.Generator().manual_seed(11)
    texts = [torch.randint(4, 320, (length,), generator=generator) for length in LENGTHS]
    golden = {}
    longest = max(LENGTHS)
    ids = torch.stack([torch.nn.functional.pad(t, (0, longest - len(t)), value=1) for t in texts])
    mask = torch.stack([(torch.arange(longest) < len(t)).long() for t in texts])
    together = model(ids, attention_mask=mask).last_hidden_state
    for at, text in enumerate(texts):
        states = model(text[None]).last_hidden_state[0]
        # The reference itself must not care about padding.
        assert (together[at, : len(text)] - states).abs().max() < 2e-5
        golden[f"ids_{at}"] = text
        for kind in ["mean_tokens", "cls_token", "lasttoken"]:
            golden[f"{kind}_{at}"] = unit(pool(states, kind))
        golden[f"vector_{at}"] = unit(pool(states, mode))
        golden[f"short_{at}"] = unit(pool(states, mode)[:12])
    model.save_pretrained(folder)
    write_modules(folder, mode, most)
    save_file({k: v.contiguous().clone() for k, v in golden.items()}, folder / "golden.safetensors")
    print(f"{name}: {sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for index, model in enumerate(MODELS):
        make(index, *model)
