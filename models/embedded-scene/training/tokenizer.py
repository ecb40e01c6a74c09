"""The tokenizer: byte-level BPE in CLIP's style (lower case, end-of-word marks), learnt from captions.

Writes the five files a CLIP tokenizer has. All 256 bytes exist with and without the end mark, so any text can be read.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers, processors, trainers

import captions
import models
import scene

START, END = "<|startoftext|>", "<|endoftext|>"
_SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def _pipeline(model):
    result = tokenizers.Tokenizer(model)
    result.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Lowercase()])
    result.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(_SPLIT), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    result.decoder = decoders.ByteLevel()
    return result


def _model(vocabulary=None, merges=None):
    return tokenizers.models.BPE(vocab=vocabulary, merges=merges, unk_token=END, continuing_subword_prefix="", end_of_word_suffix="</w>")


def learn(count=40_000):
    rng = np.random.default_rng(7)
    texts = (captions.caption(rng, scene.draw_scene(rng).labels())[0] for _ in range(count))
    draft = _pipeline(_model())
    draft.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=models.VOCABULARY, end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = symbols + [s + "</w>" for s in symbols]
    merges = []
    for pair in json.loads(draft.to_str())["model"]["merges"]:
        left, right = pair if isinstance(pair, list) else pair.split(" ")
        if len(names) < models.VOCABULARY - 2 and left in names and right in names and left + right not in names:
            merges.append((left, right))
            names.append(left + right)
    while len(names) < models.VOCABULARY - 2:
        names.append(f"<|unused{len(names)}|>")
    return {name: index for index, name in enumerate(names + [START, END])}, merges


def build(vocabulary, merges):
    result = _pipeline(_model(vocabulary, merges))
    result.add_special_tokens([START, END])
    result.post_processor = processors.RobertaProcessing(
        (END, vocabulary[END]), (START, vocabulary[START]), trim_offsets=False, add_prefix_space=False)
    return result


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = learn()
    build(vocabulary, merges).save(str(folder / "tokenizer.json"))
    dump = lambda name, value: (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    dump("special_tokens_map.json", special)
    dump("tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": models.TOKENS, "do_lower_case": True,
                                   "add_prefix_space": False, "errors": "replace", "clean_up_tokenization_spaces": True, **special})


class Reader:
    """Text to padded token ids, for training."""

    def __init__(self, folder):
        self.inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.inner.enable_truncation(models.TOKENS)

    def __call__(self, texts, length=None):
        rows = [item.ids for item in self.inner.encode_batch(list(texts))]
        length = length or max(len(row) for row in rows)
        return np.array([row + [models.VOCABULARY - 1] * (length - len(row)) for row in rows])


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    args = options.parse_args()
    write(args.work / "tokenizer")
    rng, reader = np.random.default_rng(8), Reader(args.work / "tokenizer")
    lengths = [len(item.ids) for item in reader.inner.encode_batch([captions.caption(rng, scene.draw_scene(rng).labels())[0] for _ in range(2000)])]
    print("tokens per caption: median", np.median(lengths), "99 %", np.percentile(lengths, 99), "largest", max(lengths))


if __name__ == "__main__":
    main()
