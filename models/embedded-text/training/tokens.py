"""Trains the tokenizer (byte-level pairs on generated text) and turns an example into ids.

    python tokens.py --work DIR
"""

import argparse
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import samples
import source

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train(size=4096, examples=30_000, seed=11):
    """A tokenizer for the generator's text."""
    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()

    def lines():
        tasks, weights = list(samples.WEIGHTS), list(samples.WEIGHTS.values())
        for _ in range(examples):
            made = samples.sample(rng, rng.choices(tasks, weights)[0], rng.choice(source.LANGUAGES))
            yield made["user"]
            yield made["answer"]
        for _ in range(50):
            for task in source.TASKS:
                for lang in source.LANGUAGES:
                    yield source.prompt_file(task, lang)[0]

    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(lines(), trainer)
    return tokenizer


def opening(tokenizer, task, lang):
    """What every prompt of a task and language starts with."""
    system = source.prompt_file(task, lang)[0]
    return tokenizer.encode(f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n").ids


def rest(tokenizer, example):
    """The example after `opening`: ids, and where the answer starts."""
    user = tokenizer.encode(f"{example['user']}<|im_end|>\n<|im_start|>assistant\n").ids
    answer = tokenizer.encode(f"{example['answer']}<|im_end|>").ids
    return user + answer, len(user)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, required=True)
    work = arguments.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train()
    tokenizer.save(str(work / "tokenizer.json"))
    rng = random.Random(1)
    for task in source.TASKS:
        for lang in source.LANGUAGES:
            made = [rest(tokenizer, samples.sample(rng, task, lang)) for _ in range(100)]
            print(task, lang, len(opening(tokenizer, task, lang)), sum(s for _, s in made) // 100, sum(len(i) - s for i, s in made) // 100, max(len(i) for i, _ in made))


if __name__ == "__main__":
    main()
