"""Scenes in which the only thing that tells the class is how something moves.

A patterned object of two halves moves over a patterned, slowly drifting background, among small discs that stand still
or tremble. The classes come in pairs, each the time reversal of the other:

  =================  ======================  ==========================================================
  class              its reversal            what moves
  =================  ======================  ==========================================================
  right              left                    the object, out of one side of the frame and in at the other
  down               up                      the same, vertically
  clockwise          counter_clockwise       the object turns about its centre
  grow               shrink                  the object's pattern grows inside its outline
  together           apart                   the patterns of the halves flow towards the seam between them
  =================  ======================  ==========================================================

Two properties hold by construction, not by tuning:

* The clip of a class is the clip of its reversal with the same seed, played backwards. A set of frames without their
  order therefore cannot separate the two, and no classifier of such sets is right more than half of the time.
* At any moment the scene has the same distribution in every class: places are uniform on a torus, angles on the circle,
  the zoom of the pattern is cyclic (`cyclic_texture`), the flow of a pattern moves noise over noise, and looks do not
  depend on the class. A single frame tells nothing; in the middle of the clip, all classes with the same seed show the
  same picture.

Every pattern and colour is as likely as its negative, so that the average over the clips of a class is plain grey, also
that of their mean frames: a linear classifier of pixels finds nothing to hold on to.
"""

import cmath
import dataclasses
import math

import numpy as np
from jaxtyping import Float32, UInt8

from motion_vit.data.embedded.cyclic_texture import CyclicTexture, noise_tiles, sample_noise
from motion_vit.errors import UserError

# Speeds are changes in an eighth of a clip, whatever its number of frames: what happens between two of eight samples.
_STEPS_IN_A_CLIP = 8
_GREY = 127.5
_TINY = 1e-6


@dataclasses.dataclass(frozen=True)
class _Pose:
    """Where the object is.

    Attributes:
      x: Horizontal centre, in widths of the frame.
      y: Vertical centre, in heights of the frame, downwards.
      angle: Radians, clockwise as seen.
      zoom: Octaves that the pattern has grown.
      inflow: How far the halves' patterns have flowed towards the seam, in widths of the frame.
    """

    x: float
    y: float
    angle: float
    zoom: float
    inflow: float


@dataclasses.dataclass(frozen=True)
class _Motion:
    """A change of one component of the pose, and the names of that change forwards and backwards in time.

    Attributes:
      forward: The class in which the component increases.
      backward: The class in which it decreases.
      component: Name of the `_Pose` field.
      slowest: Least change in an eighth of the clip, in the unit of that field.
      fastest: Greatest change in an eighth of the clip.
    """

    forward: str
    backward: str
    component: str
    slowest: float
    fastest: float


_MOTIONS = (
    _Motion("right", "left", "x", 0.045, 0.085),
    _Motion("down", "up", "y", 0.045, 0.085),
    _Motion("clockwise", "counter_clockwise", "angle", 0.2, 0.4),
    _Motion("grow", "shrink", "zoom", 0.2, 0.4),
    _Motion("together", "apart", "inflow", 0.04, 0.07),
)

MOTION_CLASSES: tuple[str, ...] = tuple(name for motion in _MOTIONS for name in (motion.forward, motion.backward))
"""The class names; each is followed or preceded by its time reversal."""


def time_reversed(label: str) -> str:
    """Names the class that a class becomes when its clips are played backwards.

    Args:
      label: One of `MOTION_CLASSES`.

    Returns:
      Another of `MOTION_CLASSES`; its own reversal is `label`.

    Raises:
      UserError: `label` is no class.
    """
    motion = _motion_of(label)
    return motion.backward if label == motion.forward else motion.forward


def _motion_of(label: str) -> _Motion:
    for motion in _MOTIONS:
        if label in (motion.forward, motion.backward):
            return motion
    raise UserError(f"there is no motion class {label!r}; the classes are {', '.join(MOTION_CLASSES)}")


@dataclasses.dataclass(frozen=True)
class _Paint:
    """How noise becomes colour: `base + noise * contrast`, each a colour in 0..255 units.

    Colours come first while a frame is being painted: NumPy broadcasts a plane to three several times faster that way.
    """

    base: Float32[np.ndarray, "3 1 1"]
    contrast: Float32[np.ndarray, "3 1 1"]

    @classmethod
    def draw(cls, random: np.random.Generator, base: float, contrast: float) -> "_Paint":
        """Draws a paint, mostly of brightness: video files keep colour at half the resolution."""
        brightness = random.choice((-1.0, 1.0)) * random.uniform(0.6, 1.0)
        return cls(
            base=(_GREY + base * random.uniform(-1.0, 1.0, (3, 1, 1))).astype(np.float32),
            contrast=(contrast * (brightness + 0.3 * random.uniform(-1.0, 1.0, (3, 1, 1)))).astype(np.float32),
        )

    def __call__(self, noise: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "3 h w"]:
        return self.base + noise * self.contrast


@dataclasses.dataclass(frozen=True)
class _Background:
    """A faint pattern behind everything, drifting slowly."""

    tile: Float32[np.ndarray, "tile tile"]
    wavelength: float
    drift: tuple[float, float]
    paint: _Paint

    @classmethod
    def draw(cls, random: np.random.Generator) -> "_Background":
        direction = random.uniform(0, 2 * math.pi)
        speed = random.uniform(0.0, 0.008)
        return cls(
            tile=noise_tiles(random, 1)[0],
            wavelength=random.uniform(0.2, 0.4),
            drift=(speed * math.cos(direction), speed * math.sin(direction)),
            paint=_Paint.draw(random, base=30, contrast=16),
        )

    def render(self, grid: "_Grid", time: float) -> Float32[np.ndarray, "3 h w"]:
        x, y = grid.x - self.drift[0] * time, grid.y - self.drift[1] * time
        return self.paint(sample_noise(self.tile, x, y, self.wavelength))


@dataclasses.dataclass(frozen=True)
class _Distractor:
    """A small patterned disc that stands still (`tremble` 0) or is thrown about its place from frame to frame."""

    x: float
    y: float
    radius: float
    tremble: float
    tile: Float32[np.ndarray, "tile tile"]
    paint: _Paint

    @classmethod
    def draw(cls, random: np.random.Generator) -> "_Distractor":
        return cls(
            x=random.uniform(),
            y=random.uniform(),
            radius=random.uniform(0.05, 0.08),
            tremble=random.choice((0.0, 0.012)),
            tile=noise_tiles(random, 1)[0],
            paint=_Paint.draw(random, base=50, contrast=30),
        )

    def render_over(
        self, canvas: Float32[np.ndarray, "3 h w"], grid: "_Grid", shift: Float32[np.ndarray, "2"]
    ) -> Float32[np.ndarray, "3 h w"]:
        x, y = grid.around(self.x + self.tremble * float(shift[0]), self.y + self.tremble * float(shift[1]))
        cover = grid.coverage(self.radius - np.sqrt(x * x + y * y))
        return canvas + cover * (self.paint(sample_noise(self.tile, x, y, self.radius)) - canvas)


@dataclasses.dataclass(frozen=True)
class _Object:
    """The thing that moves: a blob of two halves, each with its own pattern, that meet in a straight seam.

    Attributes:
      radius: Mean radius, in widths of the frame.
      lobes: Size and phase of the outline's second and third harmonic, relative to the radius.
      textures: The patterns of the halves.
      paints: Their colours.
    """

    radius: float
    lobes: tuple[complex, complex]
    textures: tuple[CyclicTexture, CyclicTexture]
    paints: tuple[_Paint, _Paint]

    @classmethod
    def draw(cls, random: np.random.Generator) -> "_Object":
        wavelength = random.uniform(0.2, 0.28)
        return cls(
            radius=random.uniform(0.26, 0.34),
            lobes=(
                cmath.rect(random.uniform(0.0, 0.1), random.uniform(0, 2 * math.pi)),
                cmath.rect(random.uniform(0.0, 0.1), random.uniform(0, 2 * math.pi)),
            ),
            textures=(CyclicTexture.draw(random, wavelength), CyclicTexture.draw(random, wavelength)),
            paints=(_Paint.draw(random, base=40, contrast=60), _Paint.draw(random, base=40, contrast=60)),
        )

    def render_over(
        self, canvas: Float32[np.ndarray, "3 h w"], grid: "_Grid", pose: _Pose
    ) -> Float32[np.ndarray, "3 h w"]:
        x, y = grid.around(pose.x, pose.y)
        # Places in the object's own frame as complex numbers, and their directions: `across` the seam and along it.
        place = (x + 1j * y) * np.complex64(cmath.rect(1.0, -pose.angle))
        across, along, distance = place.real, place.imag, np.abs(place)
        direction = place / np.maximum(distance, np.float32(_TINY))
        squared = direction * direction
        outline = self.radius * (1 + (self.lobes[0] * squared + self.lobes[1] * squared * direction).real)
        near = self.paints[0](self.textures[0].sample(across - pose.inflow, along, pose.zoom))
        far = self.paints[1](self.textures[1].sample(across + pose.inflow, along, pose.zoom))
        body = near + grid.coverage(across) * (far - near)
        return canvas + grid.coverage(outline - distance) * (body - canvas)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The centres of the pixels of a square frame, in widths of the frame."""

    size: int
    x: Float32[np.ndarray, "h w"]
    y: Float32[np.ndarray, "h w"]

    @classmethod
    def of(cls, size: int) -> "_Grid":
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        x, y = np.meshgrid(centres, centres)
        return cls(size, x, y)

    def around(self, x: float, y: float) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
        """Offsets of the pixels from a place, the shorter way round the torus: from -0.5 to 0.5."""
        right, down = self.x - np.float32(x), self.y - np.float32(y)
        return right - np.rint(right), down - np.rint(down)

    def coverage(self, depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        """The share of each pixel that lies inside a shape, from its depth below the edge in widths of the frame."""
        return np.clip(depth * self.size + 0.5, 0.0, 1.0)


def render_clip(
    label: str, seed: int | np.random.SeedSequence, *, frames: int = 16, size: int = 64
) -> UInt8[np.ndarray, "t h w 3"]:
    """Renders one clip of a class.

    Args:
      label: One of `MOTION_CLASSES`.
      seed: Decides everything but the class. The clip of the reversed class with the same seed is this one backwards.
      frames: Length of the clip; its motion covers the same distance whatever the length.
      size: Height and width in pixels.

    Returns:
      The frames, RGB.

    Raises:
      UserError: `label` is no class, or the clip would have no frame or no pixel.
    """
    motion = _motion_of(label)
    if frames < 1 or size < 1:
        raise UserError(f"a clip needs at least one frame and one pixel; given frames={frames}, size={size}")
    random = np.random.default_rng(seed)
    background = _Background.draw(random)
    distractors = [_Distractor.draw(random) for _ in range(random.integers(2, 5))]
    moving = _Object.draw(random)
    pose = _Pose(random.uniform(), random.uniform(), random.uniform(0, 2 * math.pi), random.uniform(), 0.0)
    speed = motion.slowest + (motion.fastest - motion.slowest) * random.uniform()
    trembles = random.standard_normal((frames, len(distractors), 2)).astype(np.float32)

    grid = _Grid.of(size)
    clip = np.empty((frames, size, size, 3), np.uint8)
    for frame in range(frames):
        time = (frame - (frames - 1) / 2) * _STEPS_IN_A_CLIP / frames
        component = getattr(pose, motion.component) + speed * time
        canvas = background.render(grid, time)
        for distractor, shift in zip(distractors, trembles[frame], strict=True):
            canvas = distractor.render_over(canvas, grid, shift)
        canvas = moving.render_over(canvas, grid, dataclasses.replace(pose, **{motion.component: component}))
        clip[frame] = np.clip(np.rint(canvas), 0, 255).transpose(1, 2, 0)
    return clip if label == motion.forward else clip[::-1].copy()
