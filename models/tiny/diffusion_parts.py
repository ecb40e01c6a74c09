"""Parts that several of the tiny image models here are made of. Imported by their `make_golden.py`."""

import json
import string

import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

WORDS = ["red", "blue", "fish", "house", "on", "the", "left", "a"]
PROMPTS = ["a red fish on the left", "blue house", "", "the Red,  red FISH! 42 " * 4]


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spread_weights(module, seed, spread=0.08):
    """The usual initialisation is so small that mistakes would hide in the rounding."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if "relative_attention_bias" in name:
            parameter.data.normal_(0.0, 1.0, generator=generator)
        elif parameter.dim() > 1:
            parameter.data.normal_(0.0, spread, generator=generator)
        elif name.endswith("bias"):
            parameter.data.normal_(0.0, 0.05, generator=generator)
        else:
            parameter.data.normal_(1.0, 0.1, generator=generator)
    return module.eval()


def draws(noise):
    """A stand-in for the library's random numbers: one given tensor after the other."""
    tensors = iter(noise)
    return lambda *_, **__: next(tensors).clone()


def save(folder, name, **tensors):
    folder.mkdir(exist_ok=True)
    tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(tensors, folder / f"{name}.safetensors")


def clip_tokenizer(folder, length, pad_token="<|endoftext|>"):
    """A CLIP tokenizer with letters, their word ends, and a few merged words."""
    symbols = sorted(string.ascii_lowercase + string.digits + string.punctuation)
    symbols += [f"{symbol}</w>" for symbol in symbols]
    merges = []
    for word in WORDS:
        parts = list(word[:-1]) + [f"{word[-1]}</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
            parts = ["".join(pair)] + parts[2:]
            if parts[0] not in symbols:
                symbols.append(parts[0])
    tokens = symbols + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2"] + [" ".join(pair) for pair in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        model_max_length=length,
        pad_token=pad_token,
    )


def publish_clip_tokenizer(folder, lists_tokens):
    """Leaves the files that the publishers ship: no `tokenizer.json`, special tokens in one way or the other."""
    (folder / "tokenizer.json").unlink(missing_ok=True)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    named = {key: config[key] for key in ["bos_token", "eos_token", "unk_token", "pad_token"]}
    flags = dict(lstrip=False, normalized=True, rstrip=False, single_word=False)
    special = {
        key: token if key == "pad_token" else dict(content=token) | flags
        for key, token in named.items()
    }
    config = dict(tokenizer_class="CLIPTokenizer", model_max_length=config["model_max_length"])
    if lists_tokens:
        added = sorted({vocabulary[token]: token for token in named.values()}.items())
        config["added_tokens_decoder"] = {
            str(index): dict(content=token) | flags | dict(normalized=token != "!", special=True)
            for index, token in added
        }
        config |= named
    else:
        typed = {"__type": "AddedToken"}
        config |= {
            key: token if key == "pad_token" else typed | token for key, token in special.items()
        }
    path.write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")


def t5_tokenizer(length):
    """A Unigram vocabulary of letters and a few words, as SentencePiece would score them."""
    letters = string.ascii_letters + string.digits + string.punctuation
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    vocabulary += [(f"▁{word}", -2.0 - index / 8) for index, word in enumerate(WORDS)]
    vocabulary += [(letter, -6.0 - index / 64) for index, letter in enumerate(letters)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=length)


def t5_encoder(vocabulary, width, seed):
    config = T5Config(
        vocab_size=vocabulary,
        d_model=width,
        # Not the width: the real one's heads are together as wide, but nothing says so.
        d_kv=8,
        d_ff=2 * width,
        num_layers=2,
        num_heads=3,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return spread_weights(T5EncoderModel(config), seed)
