"""The check: paints the held-out captions with the exported model and counts colours and objects that were asked for.

Also measures the painted originals and their reconstructions (the measure's own accuracy and the autoencoder's limit)
and gives the chance level: the same pictures judged against shuffled requests. Writes figures.json and a contact sheet.
"""

import argparse
import json
import textwrap
import time
import unicodedata
from pathlib import Path

import diffusers
import numpy as np
import torch
from PIL import Image, ImageDraw

import common
import measure
import models
import scene


def load(folder):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate(pipe, captions, steps, guidance, size=20):
    pictures = []
    for k in range(0, len(captions), size):
        part = captions[k:k + size]
        seeds = [torch.Generator().manual_seed(c["seed"]) for c in part]
        pictures.append(pipe([c["prompt"] for c in part], num_inference_steps=steps, guidance_scale=guidance, generator=seeds,
                             height=models.PIXELS, width=models.PIXELS, output_type="np").images)
    return np.concatenate(pictures)


def judge(meter, pictures):
    return [meter(picture.astype(np.float32)) for picture in pictures]


def score(found, captions):
    colour = [f[0] == scene.COLOURS.index(c["labels"]["colour"]) for f, c in zip(found, captions)]
    thing = [f[1] == scene.OBJECTS.index(c["labels"]["object"]) for f, c in zip(found, captions)]
    places = [scene.POSITIONS[int(((scene.OFFSETS - np.array(f[2:4])) ** 2).sum(1).argmin())] for f in found]
    place = [p == c["labels"]["position"] for p, c in zip(places, captions)]
    rate = lambda hits: round(float(np.mean(hits)), 3)
    return {"colour": rate(colour), "object": rate(thing), "both": rate(np.array(colour) & np.array(thing)), "place": rate(place)}


def chance(found, captions, rounds=50):
    rng = np.random.default_rng(0)
    rows = [score(found, [captions[k] for k in rng.permutation(len(captions))]) for _ in range(rounds)]
    return {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}


def originals(count):
    """Painted held-out scenes with their labels in the form of the captions."""
    rng, painter = np.random.default_rng(99), scene.Painter(models.PIXELS)
    scenes = [scene.draw_scene(rng, held=True) for _ in range(count)]
    labels = [{"labels": {field: names[v] for (field, names), v in zip(scene.FIELDS.items(), s.labels())}} for s in scenes]
    return np.stack([painter.paint(s) for s in scenes]), labels


def reconstruct(pipe, pictures):
    with torch.no_grad():
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() * 2 - 1
        y = torch.cat([pipe.vae.decode(pipe.vae.encode(part).latent_dist.mean).sample for part in x.split(20)])
    return common.to_images(y).astype(np.float32) / 255


def contact_sheet(pictures, captions, path, columns=6, scale=1.5):
    side = int(models.PIXELS * scale)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 8), rows * (side + 50)), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (picture, caption) in enumerate(zip(pictures, captions)):
        x, y = k % columns * (side + 8), k // columns * (side + 50)
        sheet.paste(Image.fromarray((picture * 255 + .5).astype(np.uint8)).resize((side, side), Image.LANCZOS), (x + 4, y + 4))
        # Pillow's built-in font has no accents, and no other font can be relied on.
        plain = unicodedata.normalize("NFKD", caption["prompt"].replace("œ", "oe").replace("ß", "ss")).encode("ascii", "ignore").decode()
        for line, text in enumerate(textwrap.wrap(plain, 27)[:4]):
            draw.text((x + 4, y + side + 5 + 10 * line), text, fill="black", font_size=9)
    sheet.quantize(200).save(path, optimize=True)


def main():
    folder = Path(__file__).resolve().parent.parent
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, default=folder)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--steps", type=int, default=12)
    options.add_argument("--guidance", type=float, default=3.0)
    options.add_argument("--out", type=Path, help="folder for figures.json and contact-sheet.png")
    args = options.parse_args()
    common.setup()
    lines = (folder / "check" / "heldout.jsonl").read_text().splitlines()
    captions = [json.loads(line) for line in lines][:args.count]
    meter, pipe = measure.Measure(folder / "check"), load(args.model)
    painted, labels = originals(args.count)
    started = time.monotonic()
    pictures = generate(pipe, captions, args.steps, args.guidance)
    seconds = (time.monotonic() - started) / len(captions)
    found = judge(meter, pictures)
    figures = {"captions": len(captions), "steps": args.steps, "guidance": args.guidance, "seconds_per_picture": round(seconds, 2),
               "model": score(found, captions), "chance": chance(found, captions), "painted_originals": score(judge(meter, painted), labels),
               "reconstructions": score(judge(meter, reconstruct(pipe, painted)), labels)}
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.mkdir(exist_ok=True)
        (args.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
        pick = np.linspace(0, len(captions) - 1, 24).astype(int)
        contact_sheet(pictures[pick], [captions[k] for k in pick], args.out / "contact-sheet.png")


if __name__ == "__main__":
    main()
