"""Stage 4: sharpens the decoder while the encoder, and so the latents the denoiser knows, stay as they are.

Latents get a little noise, because the denoiser's are never exact. Writes decoder.pt (the whole autoencoder).
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import common
import models
import train_vae


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=480)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--noise", type=float, default=.08, help="as a share of the latents' spread")
    args = options.parse_args()
    common.setup(4)
    images = np.load(args.work / "images.npy", mmap_mode="r")
    vae, path, step, budget = models.vae().to(memory_format=torch.channels_last), args.work / "decoder.pt", 0, common.Budget(args.seconds)
    state = common.load(path)
    vae.load_state_dict((state or common.load(args.work / "vae.pt"))["model"])
    learnt = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(learnt, 1e-3, weight_decay=1e-3)
    if state:
        optimizer.load_state_dict(state["optimizer"])
        step, budget.spent = state["step"], state["spent"]
    keep = lambda: common.save(path, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step, spent=budget.spent)
    mean = None
    while (done := budget.tick()) < 1:
        common.cosine(optimizer, 1e-3, step, done, floor=.005)
        x = common.to_tensor(images[np.sort(np.random.default_rng([4, step]).integers(0, len(images), args.batch))])
        with torch.no_grad():
            z = vae.encode(x).latent_dist.mean
            z = z + args.noise * z.std() * torch.randn_like(z)
        loss, squared = train_vae.picture_loss(vae.decode(z).sample, x, 1.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        step += 1
        mean = squared.item() if mean is None else .98 * mean + .02 * squared.item()
        if step % 50 == 0:
            print("decoder", step, f"{mean:.4f}", round(budget.spent), flush=True)
        if step % 200 == 0:
            keep()
    keep()


if __name__ == "__main__":
    main()
