"""Stage 1: the picture autoencoder. Writes vae.pt (checkpoint) and vae.png (originals above reconstructions)."""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import common
import models


def picture_loss(y, x, late):
    """Weighted squared error, an edge term and, once `late`, an absolute error that sharpens; and the first alone."""
    # Flat backgrounds fill most of a picture: without this weight the network learns only them.
    surround = F.avg_pool2d(F.pad(x, (8, 8, 8, 8), mode="reflect"), 17, 1)
    weight = 1 + 8 * ((x - surround).abs().sum(1, keepdim=True) > .15)
    squared = ((y - x) ** 2 * weight).mean()
    edges = ((y.diff(dim=-1) - x.diff(dim=-1)) ** 2).mean() + ((y.diff(dim=-2) - x.diff(dim=-2)) ** 2).mean()
    absolute = ((y - x).abs() * weight).mean()
    return squared + edges + late * .1 * absolute, squared


def loss_of(vae, x, late):
    posterior = vae.encode(x).latent_dist
    loss, squared = picture_loss(vae.decode(posterior.sample()).sample, x, late)
    kl = .5 * (posterior.mean ** 2 + posterior.var - 1 - posterior.logvar).mean()
    return loss + 2e-4 * kl, squared


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=840)
    options.add_argument("--batch", type=int, default=8)
    args = options.parse_args()
    common.setup()
    images = np.load(args.work / "images.npy", mmap_mode="r")
    vae = models.vae().to(memory_format=torch.channels_last)
    with torch.no_grad():  # Start nearly deterministic: full posterior noise at the start would hide the subjects.
        vae.quant_conv.bias[4:] = -6
        vae.quant_conv.weight[4:] *= .1
    optimizer = torch.optim.AdamW(vae.parameters(), 2e-3, weight_decay=1e-3)
    state, path, step = common.load(args.work / "vae.pt"), args.work / "vae.pt", 0
    budget = common.Budget(args.seconds)
    if state:
        vae.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
        step, budget.spent = state["step"], state["spent"]
    show = common.to_tensor(images[:24])
    mean = None
    while (done := budget.tick()) < 1:
        common.cosine(optimizer, 2e-3, step, done, floor=.005)
        x = common.to_tensor(images[np.sort(np.random.default_rng(step).integers(0, len(images), args.batch))])
        loss, squared = loss_of(vae, x, float(done > .35))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        mean = squared.item() if mean is None else .98 * mean + .02 * squared.item()
        if step % 100 == 0:
            print("vae", step, f"{mean:.4f} {loss.item():.4f}", round(budget.spent), flush=True)
        if step % 400 == 0:
            keep(vae, optimizer, step, budget, path, show)
    keep(vae, optimizer, step, budget, path, show)


def keep(vae, optimizer, step, budget, path, show):
    common.save(path, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step, spent=budget.spent)
    with torch.no_grad():
        again = vae.decode(vae.encode(show).latent_dist.mean).sample
    pairs = [np.concatenate([a, b]) for a, b in zip(common.to_images(show), common.to_images(again))]
    Image.fromarray(common.tile(pairs, 12)).save(path.with_suffix(".png"))


if __name__ == "__main__":
    main()
