"""Times a scene with diffusers (torch on the CPU): the same weights, steps and guidance as the node's.

Usage: diffusers_scene.py MODEL_DIR STEPS GUIDANCE RUNS PROMPT. Prints one JSON object.
"""

import json
import statistics
import sys
import time

import diffusers
import torch


def main() -> None:
    model, steps, guidance, runs, prompt = sys.argv[1:]
    diffusers.utils.logging.disable_progress_bar()
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        model, safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    seconds = []
    for seed in range(int(runs) + 1):
        start = time.perf_counter()
        pipeline(
            prompt,
            num_inference_steps=int(steps),
            guidance_scale=float(guidance),
            generator=torch.Generator().manual_seed(seed),
        )
        seconds.append(time.perf_counter() - start)
    print(json.dumps({
        "median_ms": round(statistics.median(seconds[1:]) * 1000),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }))


main()
