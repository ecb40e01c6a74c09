"""Writes what the reference's flow-matching Euler sampler does on fixed model outputs, under many settings.

Run in this folder: `python make_golden.py`. The outputs are stored as inputs, so a sampler's mistakes add up
over the steps and cannot hide.
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from safetensors.torch import save_file

HERE = Path(__file__).parent
DYNAMIC = dict(use_dynamic_shifting=True)
# What the publishers ship, then what each setting does alone. `sigmas` are those the pipeline gives,
# `tokens` the length from which it computes `mu`.
CASES = [
    ("stable diffusion 3.5", dict(shift=3.0), 7, None, None),
    ("flux schnell", dict(shift=1.0), 4, "even", 4096),
    ("flux dev", dict(shift=3.0) | DYNAMIC, 5, "even", 4096),
    ("flux dev, small and wide", dict(shift=3.0) | DYNAMIC, 5, "even", 96),
    ("z-image", dict(shift=3.0), 9, "to zero", None),
    ("no shift", dict(), 3, None, None),
    ("one step", dict(shift=3.0), 1, None, None),
    ("dynamic, sigmas from the steps", DYNAMIC, 4, None, 1000),
    ("other bounds", dict(base_shift=0.3, max_shift=2.0, base_image_seq_len=64) | DYNAMIC, 6, "even", 777),
    ("linear", dict(time_shift_type="linear") | DYNAMIC, 6, "even", 2048),
    ("stretched to an end", dict(shift_terminal=0.1) | DYNAMIC, 6, "even", 2048),
    ("stretched, not dynamic", dict(shift_terminal=0.02, shift=2.0), 6, None, None),
    ("another training", dict(num_train_timesteps=500, shift=2.0), 5, None, None),
]


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def main():
    torch.set_num_threads(1)
    tensors, listed = {}, []
    picture, noise, outputs = randn(1, 1, 4, 6, 5), randn(2, 1, 4, 6, 5), randn(3, 9, 1, 4, 6, 5)
    for index, (name, config, steps, kind, tokens) in enumerate(CASES):
        scheduler = FlowMatchEulerDiscreteScheduler(**config)
        sigmas = {
            None: None,
            "even": np.linspace(1.0, 1 / steps, steps),
            "to zero": np.linspace(1.0, 0.0, steps),
        }[kind]
        mu = None
        if tokens is not None:
            settings = scheduler.config
            mu = calculate_shift(
                tokens,
                settings.base_image_seq_len,
                settings.max_image_seq_len,
                settings.base_shift,
                settings.max_shift,
            )
        scheduler.set_timesteps(None if kind else steps, sigmas=sigmas, mu=mu)
        sample, samples = noise, [noise]
        for step, timestep in enumerate(scheduler.timesteps):
            sample = scheduler.step(outputs[step], timestep, sample).prev_sample
            samples.append(sample)
        tensors[f"{index}.timesteps"] = scheduler.timesteps.double()
        tensors[f"{index}.sigmas"] = scheduler.sigmas.double()
        tensors[f"{index}.samples"] = torch.stack(samples)
        # What image to image starts from, at each step.
        scheduler.set_begin_index(0)
        mixed = []
        for step in range(steps):
            scheduler.set_begin_index(step)
            scheduler._step_index = None
            mixed.append(scheduler.scale_noise(picture, scheduler.timesteps[step : step + 1], noise))
        tensors[f"{index}.mixed"] = torch.stack(mixed)
        listed.append(
            dict(
                name=name,
                steps=steps,
                config=dict(scheduler.config),
                sigmas=None if sigmas is None else sigmas.tolist(),
                tokens=tokens,
                mu=mu,
            )
        )
    tensors |= dict(picture=picture, noise=noise, outputs=outputs)
    folder = HERE / "golden"
    folder.mkdir(exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "flow_match.safetensors")
    (folder / "flow_match.json").write_text(json.dumps(listed, indent=1) + "\n")
    print(f"{len(listed)} cases, {(folder / 'flow_match.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
