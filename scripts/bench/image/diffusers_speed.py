"""Times a UNet pass with guidance and a VAE decoding in diffusers: `diffusers_speed.py FOLDER THREADS RUNS SIDE`.

Prints one JSON object of milliseconds, medians, as `image_speed` does for our own."""

import json
import statistics
import sys
import time

import diffusers
import torch


def median_ms(runs, call):
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


@torch.inference_mode()
def main():
    folder, threads, runs, side = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    latent = side // 8
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet").eval()
    latents, text = torch.randn(2, 4, latent, latent), torch.randn(2, 77, 768)
    figures = {"unet_ms": median_ms(runs, lambda: unet(latents, 321, encoder_hidden_states=text))}
    del unet
    vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
    one = latents[:1] / vae.config.scaling_factor
    figures["vae_ms"] = median_ms(runs, lambda: vae.decode(one))
    print(json.dumps(figures | {"torch": torch.__version__, "diffusers": diffusers.__version__}))


main()
