"""Scenes: what a picture is made of (labels), which pairs are held out, and how a picture is painted.

A scene is one subject (colour x object) at a place and size, one decor element, a world as background and an era
as overall treatment. Painting is plain numpy, about one millisecond a picture. Captions are made elsewhere.
"""

from dataclasses import dataclass

import numpy as np

import shapes

COLOURS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black"]
PALETTE = np.array([[.86, .10, .12], [.96, .50, .06], [.97, .86, .12], [.14, .66, .20], [.10, .82, .84],
                    [.12, .26, .88], [.52, .16, .72], [.98, .50, .74], [.98, .98, .98], [.07, .07, .08]], np.float32)
OBJECTS = shapes.OBJECTS
POSITIONS = ["centre", "left", "right", "top", "bottom"]
OFFSETS = np.array([[0, 0], [-.36, 0], [.36, 0], [0, -.32], [0, .32]], np.float32)
SIZES = ["small", "medium", "big"]
RADII = [.44, .52, .60]
DECORS = ["none", "moon", "sun", "stars", "mountains", "trees", "clouds", "castle", "birds"]
WORLDS = ["sea", "forest", "desert", "ice", "night", "meadow", "volcano", "city"]
ERAS = ["ancient", "medieval", "modern", "future"]
FIELDS = {"colour": COLOURS, "object": OBJECTS, "position": POSITIONS, "size": SIZES,
          "decor": DECORS, "world": WORLDS, "era": ERAS}

# Sky, ground and height of the horizon; muted on purpose, so that every subject colour stands out.
_LAND = {
    "sea": ((.60, .74, .82), (.18, .38, .52), .25), "forest": ((.42, .54, .42), (.24, .34, .22), .45),
    "desert": ((.90, .82, .68), (.76, .60, .40), .30), "ice": ((.62, .74, .82), (.80, .87, .92), .35),
    "night": ((.07, .08, .22), (.17, .14, .34), 2.0), "meadow": ((.58, .76, .88), (.46, .60, .36), .35),
    "volcano": ((.36, .20, .19), (.22, .14, .14), .50), "city": ((.68, .69, .74), (.40, .41, .46), .62),
}


@dataclass
class Scene:
    """One picture's labels (indices into the lists above) and its small random displacements."""
    colour: int
    object: int
    position: int
    size: int
    decor: int
    world: int
    era: int
    seed: int

    def labels(self):
        return [self.colour, self.object, self.position, self.size, self.decor, self.world, self.era]


def held_out(colour, obj):
    """Pairs that training never paints and never names together: 20 of 140, at least one for each object."""
    return (3 * colour + 5 * obj) % 7 == 0


def draw_scene(rng, held=False):
    """A random scene whose colour and object are a held-out pair, or never one."""
    while True:
        colour, obj = int(rng.integers(len(COLOURS))), int(rng.integers(len(OBJECTS)))
        if held_out(colour, obj) == held:
            break
    pick = lambda names: int(rng.integers(len(names)))
    return Scene(colour, obj, pick(POSITIONS), pick(SIZES), pick(DECORS), pick(WORLDS), pick(ERAS), int(rng.integers(2**31)))


class Painter:
    """Paints scenes at a fixed size; holds the subject textures and the pixel coordinates."""

    def __init__(self, px=96):
        self.px = px
        self.axis = ((np.arange(px) + .5) / px * 2 - 1).astype(np.float32)
        self.x, self.y = np.meshgrid(self.axis, self.axis)
        self.bank = shapes.textures()

    def placement(self, scene):
        """Centre and radius of the subject, in [-1, 1] picture coordinates."""
        rng = np.random.default_rng(scene.seed)
        jitter = rng.uniform(-.05, .05, 3)
        cx, cy = OFFSETS[scene.position] + jitter[:2]
        return cx, cy, RADII[scene.size] + jitter[2] * .5

    def distance(self, obj, cx, cy, radius, layer=0):
        """Distance to the subject's silhouette at every pixel, in picture units."""
        texture = self.bank[obj, layer]
        return shapes.sample(texture, (self.axis - cx) / radius, (self.axis - cy) / radius) * radius

    def cover(self, distance):
        """How much of each pixel lies inside a shape: an edge one pixel wide."""
        return np.clip(.5 - distance * self.px / 2, 0, 1)[..., None]

    def paint(self, scene):
        """The picture as float32 [px, px, 3] in [0, 1]."""
        rng = np.random.default_rng(scene.seed + 1)
        cx, cy, radius = self.placement(scene)
        image = self._world(scene, rng)
        image = self._era_behind(image, scene)
        image = self._decor(image, scene, rng, cx)
        image = self._subject(image, scene, cx, cy, radius)
        return np.clip(self._era_frame(image, scene), 0, 1).astype(np.float32)

    def _mix(self, image, cover, colour):
        return image * (1 - cover) + np.asarray(colour, np.float32) * cover

    def _subject(self, image, scene, cx, cy, radius):
        base = PALETTE[scene.colour]
        name = COLOURS[scene.colour]
        body = self.distance(scene.object, cx, cy, radius)
        outline = (.85, .85, .88) if name == "black" else (.08, .07, .12)
        image = self._mix(image, self.cover(body - .035), outline)
        shade = 1 - .10 * np.clip((self.y - cy) / radius, -1, 1)[..., None]
        cover = self.cover(body)
        image = image * (1 - cover) + np.clip(base * shade, 0, 1) * cover
        dark = np.array([.34, .34, .38]) if name == "black" else base * .45
        light = np.array([.72, .74, .80]) if name == "white" else base * .25 + .72
        image = self._mix(image, self.cover(self.distance(scene.object, cx, cy, radius, 1)), dark)
        return self._mix(image, self.cover(self.distance(scene.object, cx, cy, radius, 2)), light)

    def _world(self, scene, rng):
        name = WORLDS[scene.world]
        sky, ground, horizon = _LAND[name]
        x, y = self.x, self.y
        sky, ground = np.array(sky, np.float32), np.array(ground, np.float32)
        image = sky * (1 + .12 * (y[..., None] + 1) / 2)
        wave = rng.uniform(0, 6.28)
        if name == "night":
            image = sky + (ground - sky) * (y[..., None] + 1) / 2
            for sx, sy in rng.uniform(-.95, .95, (14, 2)):
                image = self._mix(image, self.cover(np.hypot(x - sx, y - sy) - .014), (.75, .75, .85))
            return image
        line = horizon + {"desert": .12, "meadow": .14, "ice": .05}.get(name, 0) * np.sin(x * 2.4 + wave)
        if name == "forest":
            for tx in np.linspace(-.9, .9, 7) + rng.uniform(-.05, .05, 7):
                image = self._mix(image, self.cover(np.abs(x - tx) - .05), (.25, .30, .22))
        if name == "city":
            tops = rng.uniform(-.15, .45, 9)
            line = np.minimum(line, tops[np.clip(((x + 1) * 4.5).astype(int), 0, 8)])
        if name == "volcano":
            line = np.minimum(line, -.05 + np.abs(x - .2) * 1.1 - .02)
        if name == "ice":
            line = np.minimum(line, .05 + np.abs((x * 1.7 + wave) % 1.0 - .5) * 1.1)
        image = self._mix(image, self.cover(line - y), ground)
        if name == "sea":
            ripple = np.abs(y - line - .12 - .22 * np.round((y - line - .12) / .22) - .03 * np.sin(x * 9 + wave)) - .012
            image = self._mix(image, self.cover(np.maximum(ripple, line + .05 - y)), (.42, .60, .70))
        if name == "volcano":
            lava = np.abs(x - .2 - .06 * np.sin(y * 9 + wave)) - .045
            image = self._mix(image, self.cover(np.maximum(lava, -.02 - y)), (.80, .34, .12))
        return image

    def _decor(self, image, scene, rng, cx):
        name = DECORS[scene.decor]
        x, y = self.x, self.y
        side = -1 if cx > .1 else 1 if cx < -.1 else rng.choice([-1, 1])
        px, py = side * (.70 + rng.uniform(-.04, .04)), -.68 + rng.uniform(-.04, .04)
        if name == "moon":
            bite = np.maximum(np.hypot(x - px, y - py) - .22, .19 - np.hypot(x - px - .12, y - py + .05))
            return self._mix(image, self.cover(bite), (.97, .95, .80))
        if name == "sun":
            ray = .20 + .05 * np.cos(8 * np.arctan2(y - py, x - px))
            return self._mix(image, self.cover(np.hypot(x - px, y - py) - ray), (1.0, .80, .30))
        if name == "stars":
            for k in range(6):
                sx, sy = -.85 + k * .34 + rng.uniform(-.05, .05), -.78 + rng.uniform(-.1, .1)
                image = self._mix(image, self.cover(np.abs(x - sx) + np.abs(y - sy) - .085), (1.0, .95, .70))
        elif name == "mountains":
            ridge = np.minimum(np.abs(x - px) * 1.3 - .45, np.abs(x + px * .6) * 1.3 - .25)
            image = self._mix(image, self.cover(np.maximum(ridge - y, y - .75)), (.46, .43, .52))
            image = self._mix(image, self.cover(ridge - y + np.maximum(0, y + .28) * 9), (.88, .88, .92))
        elif name == "trees":
            for k in range(7):
                tx = -.9 + k * .3
                cone = np.maximum((np.abs(x - tx) * 2.6 - (y - .38)) * .5, y - .86)
                image = self._mix(image, self.cover(cone), (.16, .36, .22))
        elif name == "clouds":
            for k in range(3):
                qx, qy = -.65 + k * .65 + rng.uniform(-.1, .1), -.74 + rng.uniform(-.08, .08)
                puff = np.minimum(np.hypot((x - qx) * .7, (y - qy) * 1.5) - .17, np.hypot(x - qx - .05, y - qy + .06) - .12)
                image = self._mix(image, self.cover(puff), (.92, .93, .95))
        elif name == "castle":
            tower = np.minimum(np.maximum(np.abs(x - px) - .14, -.25 - y), np.maximum(np.abs(np.abs(x - px) - .14) - .06, np.abs(y + .30) - .12))
            wall = np.maximum(np.abs(x - px + side * .05) - .32, .1 - y)
            image = self._mix(image, self.cover(np.maximum(np.minimum(tower, wall), y - .72)), (.38, .35, .42))
            image = self._mix(image, self.cover(np.hypot(x - px, y - .02) - .05), (.95, .85, .50))
        elif name == "birds":
            for k in range(4):
                bx, by = -.7 + k * .45 + rng.uniform(-.08, .08), -.74 + rng.uniform(-.12, .1)
                wing = np.abs(y - by + .09 * np.abs(np.sin((x - bx) * 16))) - .022
                image = self._mix(image, self.cover(np.maximum(wing, np.abs(x - bx) - .17)), (.12, .12, .16))
        return image

    def _era_behind(self, image, scene):
        era = ERAS[scene.era]
        if era == "ancient":
            grey = image.mean(-1, keepdims=True)
            return image * .30 + .70 * (grey * .65 + .28) * np.array([1.0, .86, .62])
        if era == "future":
            image = image * .62 + np.array([.02, .02, .10])
            line = np.minimum(np.abs((self.x * 3 + .5) % 1 - .5), np.abs((self.y * 3 + .5) % 1 - .5)) / 3 - .012
            return self._mix(image, self.cover(line) * .75, (.25, .78, .86))
        return image

    def _era_frame(self, image, scene):
        era = ERAS[scene.era]
        edge = np.maximum(np.abs(self.x), np.abs(self.y))
        if era == "ancient":
            torn = .95 + .02 * np.sin(self.x * 17) * np.cos(self.y * 19)
            return self._mix(image, self.cover(torn - edge), (.42, .28, .15))
        if era == "medieval":
            image = self._mix(image, self.cover(.91 - edge), (.80, .62, .20))
            return self._mix(image, self.cover(np.abs(edge - .92) - .018), (.34, .20, .08))
        if era == "modern":
            return self._mix(image, self.cover(.94 - edge), (.97, .97, .97))
        return image
