"""The measure: which colour and which object does a picture show? Works on pixels only; see ../check/README.md.

Every palette colour gives a map of how near each pixel is to it. A candidate (object, place, size) scores the mean of
that map inside the silhouette minus its mean in a ring around it, times the silhouette's area to the power 0.4. The
best score names the object and the place; the main colour is the palette entry nearest to the median pixel inside that silhouette.
"""

import json
from pathlib import Path

import numpy as np

import scene
import shapes

GRID = 48                                   # the maps are averaged to 48 x 48 before matching
SOFTNESS = .16                              # how fast a pixel stops counting as a colour (RGB distance)
STEPS = [round(-.48 + .08 * k, 2) for k in range(13)]
AREA_POWER = .4                              # without it, small shapes that fit inside a larger one would win
SIZES = [.42, .48, .54, .60, .66]
INSIDE, RING = -.03, (.10, .45)             # bounds of the distance, in units of the subject's radius
TEXELS = 64                                 # side of the silhouettes shipped as data


def silhouettes():
    """The distance fields as the check ships them: 64 x 64, one byte each, 0.01 a step, 128 is the outline."""
    bank = shapes.textures()[:, 0].reshape(len(scene.OBJECTS), TEXELS, 2, TEXELS, 2).mean((2, 4))
    return np.clip(np.round(bank * 100 + 128), 0, 255).astype(np.uint8)


def load_silhouettes(folder):
    from PIL import Image
    sheet = np.asarray(Image.open(folder / "silhouettes.png").convert("L"))
    return sheet.reshape(len(scene.OBJECTS), TEXELS, TEXELS)


class Measure:
    """All candidate templates, prepared once for one picture size."""

    def __init__(self, folder):
        data = json.loads((Path(folder) / "palette.json").read_text())
        self.palette = np.array(list(data.values()), np.float32) / 255
        fields = (load_silhouettes(Path(folder)).astype(np.float32) - 128) / 100
        axis = ((np.arange(GRID) + .5) / GRID * 2 - 1).astype(np.float32)
        rows, self.keys = [], []
        for obj, field in enumerate(fields):
            for radius in SIZES:
                for cy in STEPS:
                    v = self._texel((axis - cy) / radius)
                    for cx in STEPS:
                        u = self._texel((axis - cx) / radius)
                        d = np.where((u >= 0)[None, :] & (v >= 0)[:, None], field[np.maximum(v, 0)][:, np.maximum(u, 0)], 9)
                        inside, ring = d < INSIDE, (d > RING[0]) & (d < RING[1])
                        rows.append((inside / inside.sum() - ring / ring.sum()).ravel().astype(np.float32))
                        self.keys.append((obj, cx, cy, radius))
        self.templates = np.stack(rows)
        self.inside = self.templates > 0
        self.area = self.inside.sum(1, keepdims=True).astype(np.float32) ** AREA_POWER

    @staticmethod
    def _texel(t):
        """Nearest texel of a subject coordinate, -1 outside the silhouette's square."""
        index = np.floor((t / shapes.SPAN + 1) * .5 * TEXELS).astype(int)
        return np.where((index >= 0) & (index < TEXELS), index, -1)

    def __call__(self, image):
        """image: float [h, w, 3] in [0, 1], h = w a multiple of 48. Returns (colour, object, cx, cy, radius, score)."""
        k = image.shape[0] // GRID
        near = np.exp(-((image[:, :, None] - self.palette) ** 2).sum(-1) / (2 * SOFTNESS ** 2))
        maps = near.reshape(GRID, k, GRID, k, -1).mean((1, 3)).reshape(GRID * GRID, -1)
        scores = self.templates @ maps * self.area
        best = int(scores.max(1).argmax())
        small = image.reshape(GRID, k, GRID, k, 3).mean((1, 3)).reshape(-1, 3)
        median = np.median(small[self.inside[best]], axis=0)
        colour = int(((self.palette - median) ** 2).sum(1).argmin())
        return (colour, *self.keys[best], float(scores[best].max()))
