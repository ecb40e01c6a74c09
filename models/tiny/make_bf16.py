"""Measures how far bf16 takes the reference itself from what it computes in f32: the yardstick for our own bf16.

Run in this folder, after the generators: `python -O make_bf16.py` (-O, because they assert f32's digits). They all run
again in a copy, their denoisers and text encoders rounded to bf16 and called with rounded inputs; autoencoders,
samplers and what passes between two steps stay in f32, as in our engine. Beside the goldens of each model,
`bf16.json` then has the relative root mean square error of every tensor that moved.
"""

import json
import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers.utils import BaseOutput
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers.utils import ModelOutput

HERE = Path(__file__).parent
# In this order: the last of a folder's generators needs the first one's models.
GENERATORS = [
    "t5/make_golden.py",
    "stable-diffusion/make_golden.py",
    "stable-diffusion/make_xl.py",
    "stable-diffusion-2/make_golden.py",
    "stable-diffusion-3/make_golden.py",
    "flux-1/make_golden.py",
    "flux-2/make_golden.py",
    "z-image/make_golden.py",
    "make_text.py",
    "make_embeddings.py",
]
ROUNDED = [
    diffusers.UNet2DConditionModel,
    diffusers.SD3Transformer2DModel,
    diffusers.FluxTransformer2DModel,
    diffusers.Flux2Transformer2DModel,
    diffusers.ZImageTransformer2DModel,
    transformers.CLIPTextModel,
    transformers.CLIPTextModelWithProjection,
    transformers.T5EncoderModel,
    transformers.LlamaForCausalLM,
    transformers.MistralForCausalLM,
    transformers.Qwen2ForCausalLM,
    transformers.Qwen3ForCausalLM,
    transformers.Qwen3MoeForCausalLM,
    transformers.Qwen3Model,
]


class Exact(torch.Tensor):
    """A moment or a guidance. Some references round 321 to 320 before they embed it; ours do not, and the size of
    that mistake would hide others."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def to(self, *_, **__):
        return self


def rounded(value):
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        if value.dim() == 1:
            return value.as_subclass(Exact)
        return value.bfloat16() if value.dim() > 1 else value
    if isinstance(value, list):
        return [rounded(each) for each in value]
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return value


def widened(value):
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, (BaseOutput, ModelOutput)):
        for key in list(value.keys()):
            value[key] = widened(value[key])
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(widened(each) for each in value)
    return value


def compute_in_bf16(model_class):
    plain = model_class.__call__

    def call(self, *arguments, **settings):
        # Qwen3 by itself is an embedding model, but most often a part of another.
        if getattr(self, "is_part", False):
            return plain(self, *arguments, **settings)
        for part in self.children():
            part.is_part = True
        self.to(torch.bfloat16)
        return widened(plain(self, *rounded(list(arguments)), **rounded(settings)))

    model_class.__call__ = call
    # What the pipelines round their pictures and latents to.
    model_class.dtype = property(lambda self: torch.float32)


def like_its_weights(module, arguments):
    """A layer that reads an exact moment's waves."""
    if isinstance(module, torch.nn.Linear) and module.weight.dtype == torch.bfloat16:
        return tuple(each.bfloat16() for each in arguments)
    return None


def error(found, expected):
    found, expected = found.double(), expected.double()
    return ((found - expected).norm() / expected.norm()).item()


def errors(found, expected):
    """Of the tensors that moved; those put wrong on purpose are no yardstick."""
    found, expected = load_file(found), load_file(expected)
    assert found.keys() == expected.keys()
    moved = {}
    for name in sorted(expected):
        if expected[name].is_floating_point() and not name.startswith("wrong_"):
            far = error(found[name], expected[name])
            if far > 0:
                moved[name] = float(f"{far:.3g}")
    return moved


def run(generator):
    os.chdir(generator.parent)
    sys.path.insert(0, str(generator.parent))
    runpy.run_path(str(generator), run_name="__main__")


def main():
    torch.set_num_threads(1)
    for model_class in ROUNDED:
        compute_in_bf16(model_class)
    register_module_forward_pre_hook(like_its_weights)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tiny"
        shutil.copytree(HERE, copy)
        for generator in GENERATORS:
            # Each by itself: some put their own numbers in the place of a library's random ones.
            alone = multiprocessing.get_context("fork").Process(target=run, args=(copy / generator,))
            alone.start()
            alone.join()
            if alone.exitcode != 0:
                sys.exit(f"{generator} failed")
        measured = {}
        for expected in sorted(HERE.rglob("golden*/*.safetensors")) + sorted(HERE.glob("*/golden.safetensors")):
            moved = errors(copy / expected.relative_to(HERE), expected)
            if moved:
                target = "bf16.json" if expected.parent.name == "golden" else "golden_bf16.json"
                measured.setdefault(expected.parent / target, {})[expected.stem] = moved
        for path, each in measured.items():
            path.write_text(json.dumps(each, indent=1) + "\n")
            print(path.relative_to(HERE), f"{max(far for file in each.values() for far in file.values()):.3g}")


if __name__ == "__main__":
    main()
