"""Writes `golden/tokenizers.json`: the ids of one vocabulary under the files that repositories ship beside it.

Run in this folder: `python make_tokenizers.py`, after `make_golden.py`, with the same versions.
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

HERE = Path(__file__).parent
START, END = "<|startoftext|>", "<|endoftext|>"
PROMPTS = [
    "a red fish on the left",
    "a red fish!",
    "Fish!! On the !left ! 4!2",
    f"red {END} blue{END}house",
    "red <|EndOfText|>house",
    f"{START}a fish",
    "a <fish> on <FISH>house",
    "",
    "the Red,  red FISH! 42 " * 4,
]


def token(content, **changes):
    flags = dict(lstrip=False, normalized=True, rstrip=False, single_word=False)
    return dict(content=content) | flags | changes


def typed(content):
    return {"__type": "AddedToken"} | token(content)


def config(**values):
    return dict(tokenizer_class="CLIPTokenizer", model_max_length=16) | values


def shapes(vocabulary):
    frame = dict(bos_token=token(START), eos_token=token(END), unk_token=token(END))
    in_config = dict(bos_token=typed(START), eos_token=typed(END), unk_token=typed(END))
    words = dict(bos_token=START, eos_token=END, unk_token=END)
    added = {
        str(vocabulary[word]): token(word, normalized=word != "!", special=True)
        for word in ["!", START, END]
    }
    fish = {str(len(vocabulary)): token("<fish>", normalized=False, special=False, lstrip=True)}
    return {
        "the vocabulary alone": (None, None),
        "as Stable Diffusion 1.5": (
            config(**in_config, pad_token=END),
            frame | dict(pad_token=END),
        ),
        "as Stable Diffusion 2.1": (
            config(**in_config, pad_token=END),
            frame | dict(pad_token="!"),
        ),
        "as the second of Stable Diffusion XL": (
            config(**in_config, pad_token="!"),
            frame | dict(pad_token="!"),
        ),
        "as the second of Stable Diffusion 3.5": (
            config(**words, pad_token="!", added_tokens_decoder=added),
            frame | dict(pad_token=END),
        ),
        "with a word of its own": (
            config(**words, pad_token=END, added_tokens_decoder=added | fish),
            None,
        ),
    }


def main():
    vocabulary = json.loads((HERE / "tokenizer" / "vocab.json").read_text())
    golden = []
    for name, (beside, special) in shapes(vocabulary).items():
        files = {"tokenizer_config.json": beside, "special_tokens_map.json": special}
        files = {file: values for file, values in files.items() if values is not None}
        with tempfile.TemporaryDirectory() as folder:
            for file in ["vocab.json", "merges.txt"]:
                shutil.copy(HERE / "tokenizer" / file, folder)
            for file, values in files.items():
                (Path(folder) / file).write_text(json.dumps(values))
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            arguments = dict(padding="max_length", max_length=16, truncation=True)
            ids = tokenizer(PROMPTS, **arguments).input_ids
        golden.append(dict(name=name, files=files, ids=ids))
        print(name, tokenizer.pad_token, ids[1])
    document = dict(prompts=PROMPTS, tokenizers=golden)
    (HERE / "golden" / "tokenizers.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
