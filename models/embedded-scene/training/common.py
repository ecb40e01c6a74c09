"""What the training stages share: a resumable time budget, checkpoints, learning rate, and picture batches."""

import math
import time

import numpy as np
import torch


class Budget:
    """Seconds of training spent over all runs of a stage, so that a resumed stage continues its schedule."""

    def __init__(self, seconds, spent=0.0):
        self.seconds, self.spent, self.last = seconds, spent, time.monotonic()

    def tick(self):
        now = time.monotonic()
        self.spent, self.last = self.spent + min(now - self.last, 20.0), now
        return min(1.0, self.spent / self.seconds)


def cosine(optimizer, peak, step, done, warm_up=100, floor=.01):
    rate = peak * min(1.0, (step + 1) / warm_up) * (floor + (1 - floor) * (.5 + .5 * math.cos(math.pi * done)))
    for group in optimizer.param_groups:
        group["lr"] = rate


def save(path, **state):
    """Writes beside the target first: a stage killed while saving leaves the previous checkpoint whole."""
    draft = path.with_suffix(".draft")
    torch.save(state, draft)
    draft.replace(path)


def load(path):
    return torch.load(path, weights_only=False) if path.exists() else None


def setup(seed=0):
    torch.set_num_threads(2)
    torch.manual_seed(seed)


def to_tensor(images):
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w] in [-1, 1], in the memory format the convolutions like best."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor.contiguous(memory_format=torch.channels_last)


def to_images(tensor):
    return ((tensor.clamp(-1, 1) + 1) * 127.5 + .5).permute(0, 2, 3, 1).to(torch.uint8).numpy()


def tile(images, columns):
    rows = [np.concatenate(list(images[k:k + columns]), 1) for k in range(0, len(images), columns)]
    return np.concatenate(rows, 0)
