"""Writes the data of the check: palette.json, silhouettes.png and the 200 captions of heldout.jsonl (fixed seed)."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

import captions
import measure
import scene

COUNT, SEED = 200, 20_261_121


def main():
    folder = Path(__file__).resolve().parent.parent / "check"
    folder.mkdir(exist_ok=True)
    palette = {name: [int(round(v * 255)) for v in rgb] for name, rgb in zip(scene.COLOURS, scene.PALETTE)}
    (folder / "palette.json").write_text("{\n" + ",\n".join(f'  "{k}": {v}' for k, v in palette.items()) + "\n}\n")
    Image.fromarray(measure.silhouettes().reshape(-1, measure.TEXELS)).save(folder / "silhouettes.png", optimize=True)
    rng, lines = np.random.default_rng(SEED), []
    for index in range(COUNT):
        painted = scene.draw_scene(rng, held=True)
        labels = painted.labels()
        values, _ = captions.fields(rng, labels, noise=0, full=True)
        names = {field: options[label] for (field, options), label in zip(scene.FIELDS.items(), labels)}
        prompt = captions.template(values["class"], values["pose"], values["decor"], values["world"], values["era"])
        lines.append(json.dumps({"id": index, "seed": 1000 + index, "prompt": prompt, "fields": values, "labels": names}, ensure_ascii=False))
    (folder / "heldout.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
