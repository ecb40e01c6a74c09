"""Writes the model folder: diffusers layout, f16 weights, manifest with sizes and SHA-256; checks nothing by itself.

Everything is prepared in a draft folder and then moved into place part by part, weights before the manifest.
"""

import argparse
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import diffusers
import safetensors.torch
import torch

import common
import models

PARTS = ["model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae", "manifest.toml"]

MANIFEST = """\
name = "embedded-scene"
description = "Small drawings of one object in a place, at {px} x {px} pixels and enlarged; trained on painted scenes only."
modality = "image"
architecture = "stable-diffusion"
revision = "{revision}"
licence = "Apache-2.0"
dtype = "f16"
memory_bytes = 67_108_864
source = {{ kind = "folder" }}

[defaults]
width = {out}
height = {out}
steps = 12
guidance = 3.0
scheduler = "ddim"
size_multiple = 32
side_max = 128
upscale = {upscale}
"""

UPSCALE = 4


def networks(work):
    """The averaged networks of the latest checkpoints; stages not trained yet keep their random weights."""
    vae, text, unet = models.vae(), models.text_encoder(), models.unet()
    refined = common.load(work / "decoder.pt") or common.load(work / "vae.pt")
    if refined:
        vae.load_state_dict(refined["model"])
    if state := common.load(work / "text.pt"):
        text.load_state_dict(state["model"])
    if state := common.load(work / "unet.pt"):
        with torch.no_grad():
            for parameter, value in zip([*unet.parameters(), *text.parameters()], state["average"]):
                parameter.copy_(value)
        vae.register_to_config(scaling_factor=round(state["scale"], 6))
    return vae.eval(), text.eval(), unet.eval()


def write_text_encoder(text, folder):
    """transformers 5 drops the `text_model.` prefix that older readers of this layout expect, and accepts both."""
    text.half().save_pretrained(folder)
    weights = {key if key.startswith("text_model.") else f"text_model.{key}": value.contiguous()
               for key, value in text.state_dict().items() if "position_ids" not in key}
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["torch_dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write(work, target):
    vae, text, unet = networks(work)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    draft.chmod(0o755)
    unet.half().save_pretrained(draft / "unet")
    vae.half().save_pretrained(draft / "vae")
    write_text_encoder(text, draft / "text_encoder")
    models.scheduler().save_pretrained(draft / "scheduler")
    shutil.copytree(work / "tokenizer", draft / "tokenizer")
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__, "feature_extractor": [None, None],
             "image_encoder": [None, None], "requires_safety_checker": False, "safety_checker": [None, None],
             "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
             "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    (draft / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    manifest(draft)
    target.mkdir(exist_ok=True)
    for name in PARTS:
        old, new = target / name, draft / name
        if old.is_dir():
            old.rename(draft / f"old-{name}")
        new.rename(old)
    shutil.rmtree(draft)


def manifest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    revision = hashlib.sha256("".join(digest[path] for path in files if path.suffix == ".safetensors").encode()).hexdigest()[:12]
    lines = [MANIFEST.format(revision=revision, px=models.PIXELS, out=models.PIXELS * UPSCALE, upscale=UPSCALE)]
    for path in files:
        lines.append(f'\n[[files]]\npath = "{path.relative_to(folder).as_posix()}"\nbytes = {path.stat().st_size}\nsha256 = "{digest[path]}"\n')
    (folder / "manifest.toml").write_text("".join(lines))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--to", type=Path, required=True)
    args = options.parse_args()
    write(args.work, args.to)


if __name__ == "__main__":
    main()
