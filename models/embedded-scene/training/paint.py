"""Paints the training pictures once: uint8 images plus their scenes, never a held-out pair. Needs only numpy."""

import argparse
import multiprocessing
import pickle
from pathlib import Path

import numpy as np

import models
import scene


def part(job):
    seed, count = job
    rng, painter = np.random.default_rng(seed), scene.Painter(models.PIXELS)
    scenes = [scene.draw_scene(rng) for _ in range(count)]
    return scenes, np.stack([(painter.paint(s) * 255 + .5).astype(np.uint8) for s in scenes])


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--count", type=int, default=48_000)
    options.add_argument("--jobs", type=int, default=2)
    args = options.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    chunk = 1000
    with multiprocessing.Pool(args.jobs) as pool:
        parts = pool.map(part, [(1000 + k, chunk) for k in range(args.count // chunk)], chunksize=1)
    pickle.dump([s for scenes, _ in parts for s in scenes], open(args.work / "scenes.pickle", "wb"))
    np.save(args.work / "images.npy", np.concatenate([images for _, images in parts]))


if __name__ == "__main__":
    main()
