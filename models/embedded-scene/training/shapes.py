"""The fourteen subjects as signed distance textures.

Each subject is drawn once as polygons and ellipses in the square [-1, 1] x [-1, 1] (y points down), then turned
into a signed distance field (negative inside), so that the renderer gets crisp edges and outlines at every size.
This file knows nothing of colours, places or captions.
"""

import math
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

OBJECTS = ["wizard", "knight", "dragon", "robot", "cat", "castle", "house",
           "boat", "tree", "star", "heart", "fish", "flower", "mushroom"]

SPAN = 1.6        # the texture covers [-SPAN, SPAN]: the check looks at a ring around the subject
TEXTURE = 128     # texels per side
_CANVAS = 640     # pixels per side of the drawing the distances are measured on


def _poly(*points):
    return ("poly", points)


def _rect(x0, y0, x1, y1):
    return ("rect", (x0, y0, x1, y1))


def _oval(x0, y0, x1, y1):
    return ("oval", (x0, y0, x1, y1))


def _disc(x, y, r):
    return ("oval", (x - r, y - r, x + r, y + r))


def _star_points(points, inner):
    corners = []
    for i in range(2 * points):
        radius = 1.0 if i % 2 == 0 else inner
        angle = math.pi * i / points - math.pi / 2
        corners.append((radius * math.cos(angle), radius * math.sin(angle) + 0.06))
    return corners


# For every subject three layers: the silhouette, the darker details and the lighter details.
DRAWINGS = {
    "wizard": (
        [_poly((0.06, -1), (-0.4, -0.28), (0.44, -0.28)), _oval(-0.72, -0.4, 0.72, -0.14), _disc(0, -0.08, 0.27),
         _poly((-0.3, 0.0), (0.3, 0.0), (0.66, 1), (-0.66, 1)), _poly((0.1, 0.15), (0.86, 0.12), (0.86, 0.34), (0.3, 0.5)),
         _rect(0.77, -0.5, 0.89, 1), _disc(0.83, -0.58, 0.18)],
        [_rect(-0.5, 0.66, 0.5, 0.74)],
        [_disc(0, -0.06, 0.19), _poly((-0.2, 0.02), (0.2, 0.02), (0, 0.46)), _disc(0.83, -0.58, 0.09)],
    ),
    "knight": (
        [_rect(-0.36, -0.6, 0.36, 0.02), _oval(-0.36, -0.84, 0.36, -0.3), _poly((-0.04, -0.8), (0.1, -1), (0.5, -0.96), (0.62, -0.6), (0.3, -0.74)),
         _poly((-0.72, 0.2), (-0.4, 0.0), (0.4, 0.0), (0.64, 0.2), (0.5, 1), (-0.5, 1)), _rect(0.74, -0.62, 0.88, 0.6),
         _rect(0.6, 0.26, 1.0, 0.4), _poly((-1.0, 0.15), (-0.4, 0.15), (-0.4, 0.6), (-0.7, 0.92), (-1.0, 0.6))],
        [_rect(-0.27, -0.42, 0.27, -0.28), _rect(-0.05, -0.42, 0.05, -0.06)],
        [_rect(-0.75, 0.25, -0.65, 0.72), _rect(-0.9, 0.38, -0.5, 0.48)],
    ),
    "dragon": (
        [_oval(-0.5, 0.1, 0.36, 0.78), _poly((0.0, 0.3), (0.32, -0.4), (0.6, -0.35), (0.36, 0.55)),
         _poly((0.28, -0.6), (0.55, -0.72), (1, -0.46), (0.97, -0.26), (0.5, -0.2), (0.28, -0.35)),
         _poly((0.34, -0.58), (0.16, -0.95), (0.54, -0.68)),
         _poly((0.12, 0.35), (-0.1, -0.98), (-0.34, -0.48), (-0.62, -0.8), (-0.66, -0.28), (-1, -0.34), (-0.42, 0.36)),
         _poly((-0.34, 0.32), (-0.72, 0.6), (-1, 0.3), (-0.97, 0.8), (-0.62, 0.92), (-0.18, 0.74)),
         _rect(-0.34, 0.6, -0.14, 1), _rect(0.08, 0.6, 0.28, 1)],
        [_disc(0.58, -0.48, 0.07)],
        [_oval(-0.16, 0.4, 0.22, 0.7)],
    ),
    "robot": (
        [_rect(-0.42, -0.78, 0.42, -0.2), _rect(-0.05, -0.9, 0.05, -0.7), _disc(0, -0.9, 0.12), _rect(-0.16, -0.25, 0.16, -0.05),
         _rect(-0.54, -0.12, 0.54, 0.58), _rect(-0.92, -0.1, 0.92, 0.1), _rect(-0.92, -0.1, -0.68, 0.52), _rect(0.68, -0.1, 0.92, 0.52),
         _rect(-0.44, 0.5, -0.12, 1), _rect(0.12, 0.5, 0.44, 1)],
        [_rect(-0.26, 0.16, 0.26, 0.38)],
        [_disc(-0.19, -0.52, 0.11), _disc(0.19, -0.52, 0.11)],
    ),
    "cat": (
        [_disc(0, -0.32, 0.47), _poly((-0.46, -0.35), (-0.44, -1), (-0.04, -0.7)), _poly((0.46, -0.35), (0.44, -1), (0.04, -0.7)),
         _oval(-0.52, -0.05, 0.52, 1.1), _poly((0.35, 0.82), (0.7, 0.7), (0.74, 0.06), (0.98, 0.0), (0.98, 0.86), (0.5, 1)),
         _rect(-0.46, 0.7, 0.46, 1)],
        [_disc(-0.19, -0.38, 0.09), _disc(0.19, -0.38, 0.09), _poly((-0.08, -0.2), (0.08, -0.2), (0, -0.1))],
        [_oval(-0.22, 0.3, 0.22, 0.9)],
    ),
    "castle": (
        [_rect(-0.9, -0.5, -0.46, 0.92), _rect(0.46, -0.5, 0.9, 0.92), _rect(-0.5, 0.05, 0.5, 0.92), _rect(-0.27, -0.72, 0.27, 0.1),
         _rect(-0.96, -0.72, -0.8, -0.42), _rect(-0.76, -0.72, -0.6, -0.42), _rect(-0.56, -0.72, -0.4, -0.42),
         _rect(0.4, -0.72, 0.56, -0.42), _rect(0.6, -0.72, 0.76, -0.42), _rect(0.8, -0.72, 0.96, -0.42),
         _rect(-0.33, -0.95, -0.17, -0.65), _rect(-0.08, -0.95, 0.08, -0.65), _rect(0.17, -0.95, 0.33, -0.65)],
        [_rect(-0.18, 0.5, 0.18, 0.92), _disc(0, 0.5, 0.18), _rect(-0.74, -0.2, -0.62, 0.06), _rect(0.62, -0.2, 0.74, 0.06), _rect(-0.06, -0.45, 0.06, -0.2)],
        [],
    ),
    "house": (
        [_rect(-0.64, -0.1, 0.64, 0.92), _poly((-0.98, 0.0), (0, -0.92), (0.98, 0.0)), _rect(0.4, -0.86, 0.62, -0.3)],
        [_rect(-0.42, 0.34, -0.08, 0.92)],
        [_rect(0.14, 0.24, 0.46, 0.56)],
    ),
    "boat": (
        [_poly((-1, 0.4), (1, 0.4), (0.62, 0.92), (-0.62, 0.92)), _rect(-0.06, -0.98, 0.06, 0.45), _poly((0.06, -0.9), (0.06, 0.24), (0.86, 0.24)),
         _poly((-0.1, -0.7), (-0.1, 0.24), (-0.76, 0.24))],
        [_rect(-0.9, 0.5, 0.9, 0.6)],
        [],
    ),
    "tree": (
        [_disc(0, -0.46, 0.52), _disc(-0.46, -0.06, 0.42), _disc(0.46, -0.06, 0.42), _disc(0, 0.05, 0.38), _rect(-0.17, 0.2, 0.17, 1)],
        [_rect(-0.17, 0.46, 0.17, 1)],
        [],
    ),
    "star": ([_poly(*_star_points(5, 0.45))], [], []),
    "heart": (
        [_disc(-0.44, -0.3, 0.5), _disc(0.44, -0.3, 0.5), _poly((-0.89, -0.08), (0, 0.98), (0.89, -0.08), (0, -0.4))],
        [], [_disc(-0.5, -0.4, 0.13)],
    ),
    "fish": (
        [_oval(-1, -0.52, 0.56, 0.52), _poly((0.3, 0), (1, -0.62), (0.82, 0), (1, 0.62)), _poly((-0.45, -0.4), (0.0, -0.84), (0.2, -0.3)),
         _poly((-0.35, 0.4), (-0.05, 0.78), (0.1, 0.36))],
        [_poly((-0.3, -0.2), (-0.18, 0), (-0.3, 0.22), (-0.24, 0.22), (-0.1, 0), (-0.24, -0.2))],
        [_disc(-0.62, -0.12, 0.12)],
    ),
    "flower": (
        [_disc(0.5 * math.cos(a), -0.3 + 0.46 * math.sin(a), 0.27) for a in [math.pi * (k / 3 + 0.5) for k in range(6)]]
        + [_disc(0, -0.3, 0.4), _rect(-0.07, 0.2, 0.07, 1), _poly((0, 0.9), (0.2, 0.55), (0.62, 0.5), (0.4, 0.84))],
        [_rect(-0.07, 0.46, 0.07, 1)],
        [_disc(0, -0.3, 0.22)],
    ),
    "mushroom": (
        [("half", (-0.98, -0.92, 0.98, 0.78)), _rect(-0.3, -0.12, 0.3, 0.9), _oval(-0.36, 0.66, 0.36, 0.98)],
        [_rect(-0.3, -0.06, 0.3, 0.04)],
        [_disc(-0.48, -0.36, 0.14), _disc(0.1, -0.6, 0.15), _disc(0.56, -0.32, 0.12)],
    ),
}


def _raster(layer):
    image = Image.new("L", (_CANVAS, _CANVAS), 0)
    draw = ImageDraw.Draw(image)
    to_px = lambda v: (v / SPAN + 1) * 0.5 * _CANVAS
    for kind, shape in layer:
        if kind == "poly":
            draw.polygon([(to_px(x), to_px(y)) for x, y in shape], fill=255)
        elif kind == "rect":
            draw.rectangle([to_px(v) for v in shape], fill=255)
        elif kind == "oval":
            draw.ellipse([to_px(v) for v in shape], fill=255)
        else:
            draw.pieslice([to_px(v) for v in shape], 180, 360, fill=255)
    return np.asarray(image) > 127


def _distance(mask):
    """Signed distance at the texel centres, in units of the subject's half-width; +9 everywhere for an empty layer."""
    if not mask.any():
        return np.full((TEXTURE, TEXTURE), 9.0, np.float32)
    edge = np.zeros_like(mask)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    ey, ex = np.nonzero(edge)
    edge_xy = (np.stack([ex, ey], 1) / _CANVAS * 2 - 1).astype(np.float32) * SPAN
    centre = ((np.arange(TEXTURE) + 0.5) / TEXTURE * 2 - 1).astype(np.float32) * SPAN
    out = np.empty((TEXTURE, TEXTURE), np.float32)
    index = ((centre / SPAN + 1) * 0.5 * _CANVAS).astype(int)
    for row, y in enumerate(centre):
        near = (edge_xy[None, :, 0] - centre[:, None]) ** 2 + (edge_xy[None, :, 1] - y) ** 2
        out[row] = np.sqrt(near.min(1)) * np.where(mask[index[row], index], -1, 1)
    return out


def textures(cache=Path(tempfile.gettempdir()) / "embedded-scene-shapes.npy"):
    """All subjects as one array [object, layer, TEXTURE, TEXTURE]; measured once, then kept in a temporary file."""
    if cache.exists():
        return np.load(cache)
    bank = np.stack([np.stack([_distance(_raster(layer)) for layer in DRAWINGS[name]]) for name in OBJECTS])
    np.save(cache, bank)
    return bank


def sample(texture, x, y):
    """Bilinear look-up of `texture` at subject coordinates x (columns) and y (rows), clamped at its rim."""
    top = TEXTURE - 1.001
    u = np.clip((x / SPAN + 1) * 0.5 * TEXTURE - 0.5, 0, top)
    v = np.clip((y / SPAN + 1) * 0.5 * TEXTURE - 0.5, 0, top)
    u0, v0 = u.astype(int), v.astype(int)
    fu, fv = (u - u0)[None, :], (v - v0)[:, None]
    rows0, rows1 = texture[v0], texture[v0 + 1]
    upper = rows0[:, u0] * (1 - fu) + rows0[:, u0 + 1] * fu
    lower = rows1[:, u0] * (1 - fu) + rows1[:, u0 + 1] * fu
    return upper * (1 - fv) + lower * fv
