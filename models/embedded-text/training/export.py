"""Writes the published folder: weights in f16 under transformers' names, configuration, tokenizer, manifest.

    python export.py --work DIR --to ..
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from model import Shape

CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def published(name):
    """transformers' name of a weight."""
    return "model." + name


def read_weights(model, path):
    """Takes the weights of a published file."""
    found = load_file(str(path))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(found[published(name)].float())


def config(s):
    """config.json of the transformers library, with the rotary base as old and new versions write it."""
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": s.vocab, "hidden_size": s.hidden,
        "intermediate_size": s.inner, "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads,
        "head_dim": s.head_dim, "hidden_act": "silu", "max_position_embeddings": s.positions, "initializer_range": 0.02,
        "rms_norm_eps": s.eps, "use_cache": True, "tie_word_embeddings": True, "rope_theta": s.theta,
        "rope_parameters": {"rope_theta": s.theta, "rope_type": "default"}, "rope_scaling": None, "attention_bias": False,
        "attention_dropout": 0.0, "use_sliding_window": False, "sliding_window": None, "max_window_layers": s.layers,
        "layer_types": ["full_attention"] * s.layers, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0, "dtype": "float16", "torch_dtype": "float16",
    }


def write(folder, weights, shape, tokenizer):
    """Writes everything but the manifest, each file whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def put(name, value):
        (folder / f"{name}.new").write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
        (folder / f"{name}.new").replace(folder / name)

    put("config.json", config(shape))
    put("generation_config.json", {"do_sample": False, "eos_token_id": [2, 0], "pad_token_id": 0})
    special = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
               for i, t in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"))}
    put("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": special, "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
        "model_max_length": shape.positions, "chat_template": CHAT,
    })
    tokenizer.save(str(folder / "tokenizer.json"))
    half = {published(name): value.detach().to(torch.float16).contiguous() for name, value in weights.items()}
    save_file(half, str(folder / "model.safetensors.new"), metadata={"format": "pt"})
    (folder / "model.safetensors.new").chmod(0o644)
    (folder / "model.safetensors.new").replace(folder / "model.safetensors")


def manifest(folder):
    """manifest.toml, with sizes and checksums."""
    data = {name: (folder / name).read_bytes() for name in FILES}
    whole = hashlib.sha256(b"".join(data.values())).hexdigest()[:12]
    text = f'''name = "embedded-text"
description = "Small writer in fr, en, es, it and de for the product's own prompts: ideas, messages, prices, concepts, quizzes; trained on generated text only; its concepts often miss the theme."
modality = "text"
architecture = "qwen3"
revision = "{whole}"
licence = "Apache-2.0"
dtype = "f16"
memory_bytes = 67_108_864
source = {{ kind = "folder" }}

[defaults]
context_tokens = 2048
max_output_tokens = 1024
temperature = 0.0
'''
    for name, content in data.items():
        text += f'\n[[files]]\npath = "{name}"\nbytes = {len(content)}\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    (folder / "manifest.toml").write_text(text)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--work", type=Path, required=True)
    a.add_argument("--to", type=Path, required=True)
    a = a.parse_args()
    tokenizer = Tokenizer.from_file(str(a.work / "tokenizer.json"))
    average = torch.load(a.work / "checkpoint.pt")["average"]
    write(a.to, average, Shape(vocab=tokenizer.get_vocab_size()), tokenizer)
    manifest(a.to)


if __name__ == "__main__":
    main()
