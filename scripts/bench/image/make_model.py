"""Makes a UNet and a VAE of Stable Diffusion 1.5's shape with random weights, in f32: `make_model.py FOLDER`.

The sizes are those of the published model's configuration files; the pictures would be noise."""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel


def main():
    folder = Path(sys.argv[1])
    if (folder / "made").exists():
        return
    torch.manual_seed(0)
    UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64).save_pretrained(folder / "unet")
    AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    ).save_pretrained(folder / "vae")
    (folder / "made").touch()


main()
