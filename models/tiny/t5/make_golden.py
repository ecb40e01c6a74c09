"""Makes the tiny T5 v1.1 encoder of this folder and what the reference library computes with it.

Run in this folder: `python make_golden.py`. Everything is f32 on the CPU from fixed seeds.
"""

import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from diffusion_parts import PROMPTS, save, t5_encoder, t5_tokenizer  # noqa: E402

LENGTH = 24


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer = t5_tokenizer(LENGTH)
    tokenizer.save_pretrained(HERE)
    encoder = t5_encoder(len(tokenizer), 32, 1)
    encoder.save_pretrained(HERE)
    ids = tokenizer(
        PROMPTS, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    # Longer than the last of the buckets that distances fall into.
    generator = torch.Generator().manual_seed(2)
    long = torch.randint(0, len(tokenizer), (1, 150), generator=generator)
    golden = HERE / "golden"
    save(
        golden,
        "t5",
        ids=ids,
        out=encoder(ids).last_hidden_state,
        long_ids=long,
        long_out=encoder(long).last_hidden_state,
    )
    (golden / "prompts.json").write_text(json.dumps(PROMPTS) + "\n")
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")
    print(ids[:2].tolist())


if __name__ == "__main__":
    main()
