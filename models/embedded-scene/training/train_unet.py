"""Stage 3: the denoiser, together with the text encoder. Writes unet.pt; exports every --export-every seconds.

Latents come from the stage 1 encoder, a few more at every step, so that training starts at once. The loss weighs
the place of the subject more than the background.
"""

import argparse
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import common
import models
import scene
import tokenizer
import train_text


class Pool:
    """Encoded pictures with their labels and subject weights; grows by `more` until all are in."""

    def __init__(self, work, vae):
        self.images = np.load(work / "images.npy", mmap_mode="r")
        self.scenes = pickle.load(open(work / "scenes.pickle", "rb"))
        self.vae, self.painter = vae, scene.Painter(models.LATENT)
        self.latents = torch.empty(len(self.scenes), 4, models.LATENT, models.LATENT)
        self.weights = torch.empty(len(self.scenes), 1, models.LATENT, models.LATENT)
        self.labels = [s.labels() for s in self.scenes]
        self.size = 0

    def more(self, count):
        start, stop = self.size, min(self.size + count, len(self.scenes))
        if stop == start:
            return
        with torch.no_grad():
            self.latents[start:stop] = self.vae.encode(common.to_tensor(self.images[start:stop])).latent_dist.mean
        for k in range(start, stop):
            s = self.scenes[k]
            near = self.painter.distance(s.object, *self.painter.placement(s)) < .08
            self.weights[k, 0] = torch.from_numpy(near.astype(np.float32))
        self.size = stop


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=3600)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--first", type=int, default=3000, help="pictures to encode before the first step")
    options.add_argument("--grow", type=int, default=8, help="pictures to encode at every step")
    options.add_argument("--freeze-text", action="store_true", help="a fifth faster, once the text encoder has settled")
    options.add_argument("--export-every", type=float, default=600)
    options.add_argument("--export-to", type=Path)
    args = options.parse_args()
    common.setup(2)
    reader, head = tokenizer.Reader(args.work / "tokenizer"), train_text.Head()
    vae, text = models.vae().to(memory_format=torch.channels_last).eval(), models.text_encoder()
    unet = models.unet().to(memory_format=torch.channels_last)
    vae.load_state_dict(common.load(args.work / "vae.pt")["model"])
    start = common.load(args.work / "text.pt")
    text.load_state_dict(start["model"]), head.load_state_dict(start["head"])
    slow = [*text.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW([{"params": unet.parameters()}, {"params": slow}], 1e-3, weight_decay=1e-2)
    path, step, budget, average, scale = args.work / "unet.pt", 0, common.Budget(args.seconds), None, None
    if state := common.load(path):
        unet.load_state_dict(state["model"]), text.load_state_dict(state["text"]), head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        step, budget.spent, average, scale = state["step"], state["spent"], state["average"], state["scale"]
    pool = Pool(args.work, vae)
    while pool.size < min(args.first, len(pool.scenes)):
        pool.more(250)
    scale = scale or (1 / pool.latents[:pool.size].std()).item()
    trained = [*unet.parameters(), *text.parameters()]
    average = average or [p.detach().clone() for p in trained]
    if args.freeze_text:
        average[-len(list(text.parameters())):] = [p.detach().clone() for p in text.parameters()]
    alpha = models.scheduler().alphas_cumprod
    budget.tick()
    exported, mean = budget.spent, None

    def keep(export):
        common.save(path, model=unet.state_dict(), text=text.state_dict(), head=head.state_dict(), optimizer=optimizer.state_dict(),
                    step=step, spent=budget.spent, average=average, scale=scale)
        if export and args.export_to:
            subprocess.run([sys.executable, str(Path(__file__).with_name("export.py")), "--work", args.work, "--to", args.export_to], check=False)

    while (done := budget.tick()) < 1:
        common.cosine(optimizer, 1.2e-3, step, done)
        optimizer.param_groups[1]["lr"] *= .3
        pool.more(args.grow)
        rng = np.random.default_rng([3, step])
        rows = torch.from_numpy(rng.integers(0, pool.size, args.batch))
        ids, targets = train_text.batch(rng, reader, [pool.labels[k] for k in rows], models.TOKENS)
        clean, noise = pool.latents[rows] * scale, torch.randn(args.batch, 4, models.LATENT, models.LATENT)
        times = torch.from_numpy(rng.integers(0, 1000, args.batch))
        a = alpha[times][:, None, None, None]
        noisy, velocity = a.sqrt() * clean + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * clean
        with torch.set_grad_enabled(not args.freeze_text):
            hidden = text(ids).last_hidden_state
        guess = unet(noisy.contiguous(memory_format=torch.channels_last), times, hidden).sample
        # The steps with much noise decide colour, place and silhouette: only the nearly clean ones count for less.
        importance = (4 * (1 - a)).clamp(max=1.0)
        weight = 1 + 2 * pool.weights[rows]
        loss = (F.mse_loss(guess, velocity, reduction="none") * weight * importance).mean()
        told, _ = head.loss(hidden, ids, targets)
        optimizer.zero_grad()
        (loss if args.freeze_text else loss + .02 * told).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        decay = min(.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_mul_(average, decay)
            torch._foreach_add_(average, [p.detach() for p in trained], alpha=1 - decay)
        mean = loss.item() if mean is None else .98 * mean + .02 * loss.item()
        if step % 50 == 0:
            print("unet", step, f"{mean:.4f} {told.item():.3f}", pool.size, round(budget.spent), flush=True)
        if step % 200 == 0 or budget.spent - exported > args.export_every:
            due = budget.spent - exported > args.export_every
            exported = budget.spent if due else exported
            keep(due)
    keep(True)


if __name__ == "__main__":
    main()
