"""Parts of the scenes of `motion_scenes`: a background, discs that stand still or tremble, and an object.

Places are in widths of the frame, from its upper left corner.
"""

import cmath
import dataclasses
import math

import numpy as np
from jaxtyping import Complex64, Float32

from motion_vit.data.embedded.cyclic_texture import CyclicTexture, noise_tiles, sample_noise

GREY = 127.5
"""Middle of the range of colours, in 0..255 units."""

_TINY = 1e-6


@dataclasses.dataclass(frozen=True)
class Pose:
    """Place, angle and zoom of the object.

    Attributes:
      x: horizontal centre, in widths of the frame.
      y: vertical centre, in heights of the frame, downwards.
      angle: radians, clockwise as seen.
      zoom: octaves that the pattern has grown.
      inflow: displacement of the halves' patterns towards the seam, in widths of the frame.
    """

    x: float
    y: float
    angle: float
    zoom: float
    inflow: float


@dataclasses.dataclass(frozen=True)
class Paint:
    """A colouring of noise: `base + noise * contrast`, each a colour in 0..255 units.

    Colours are the first axis while a frame is painted: NumPy broadcasts a plane to three several times faster that
    way.
    """

    base: Float32[np.ndarray, "3 1 1"]
    contrast: Float32[np.ndarray, "3 1 1"]

    @classmethod
    def draw(cls, random: np.random.Generator, base: float, contrast: float) -> "Paint":
        """Draws a paint, mostly of brightness: video files keep colour at half the resolution."""
        brightness = random.choice((-1.0, 1.0)) * random.uniform(0.6, 1.0)
        return cls(
            base=(GREY + base * random.uniform(-1.0, 1.0, (3, 1, 1))).astype(np.float32),
            contrast=(contrast * (brightness + 0.3 * random.uniform(-1.0, 1.0, (3, 1, 1)))).astype(np.float32),
        )

    def __call__(self, noise: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "3 h w"]:
        """Colours noise."""
        return self.base + noise * self.contrast


@dataclasses.dataclass(frozen=True)
class Background:
    """A faint pattern behind everything, drifting slowly."""

    tile: Float32[np.ndarray, "tile tile"]
    wavelength: float
    drift: tuple[float, float]
    paint: Paint

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Background":
        """Draws a pattern, its drift and its paint."""
        direction = random.uniform(0, 2 * math.pi)
        speed = random.uniform(0.0, 0.008)
        return cls(
            tile=noise_tiles(random, 1)[0],
            wavelength=random.uniform(0.2, 0.4),
            drift=(speed * math.cos(direction), speed * math.sin(direction)),
            paint=Paint.draw(random, base=30, contrast=16),
        )

    def render(self, grid: "PixelGrid", time: float) -> Float32[np.ndarray, "3 h w"]:
        """Paints it at a time, in eighths of a clip."""
        x, y = grid.x - self.drift[0] * time, grid.y - self.drift[1] * time
        return self.paint(sample_noise(self.tile, x, y, self.wavelength))


@dataclasses.dataclass(frozen=True)
class Distractor:
    """A small patterned disc that stands still (`tremble` 0) or jumps about its place from frame to frame."""

    x: float
    y: float
    radius: float
    tremble: float
    tile: Float32[np.ndarray, "tile tile"]
    paint: Paint

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Distractor":
        """Draws a disc."""
        return cls(
            x=random.uniform(),
            y=random.uniform(),
            radius=random.uniform(0.05, 0.08),
            tremble=random.choice((0.0, 0.012)),
            tile=noise_tiles(random, 1)[0],
            paint=Paint.draw(random, base=50, contrast=30),
        )

    def render_over(
        self, canvas: Float32[np.ndarray, "3 h w"], grid: "PixelGrid", shift: Float32[np.ndarray, "2"]
    ) -> Float32[np.ndarray, "3 h w"]:
        """Paints it over a canvas; `shift` is its displacement, in units of its trembling."""
        x, y = grid.around(self.x + self.tremble * float(shift[0]), self.y + self.tremble * float(shift[1]))
        cover = grid.coverage(self.radius - np.sqrt(x * x + y * y))
        return canvas + cover * (self.paint(sample_noise(self.tile, x, y, self.radius)) - canvas)


@dataclasses.dataclass(frozen=True)
class MovingObject:
    """A blob of two halves, each with its own pattern, that meet in a straight seam.

    Attributes:
      radius: mean radius, in widths of the frame.
      lobes: size and phase of the outline's second and third harmonic, relative to the radius.
      textures: the patterns of the halves.
      paints: their colours.
    """

    radius: float
    lobes: tuple[complex, complex]
    textures: tuple[CyclicTexture, CyclicTexture]
    paints: tuple[Paint, Paint]

    @classmethod
    def draw(cls, random: np.random.Generator) -> "MovingObject":
        """Draws the outline, the patterns and the paints of an object."""
        wavelength = random.uniform(0.2, 0.28)
        return cls(
            radius=random.uniform(0.26, 0.34),
            lobes=(
                cmath.rect(random.uniform(0.0, 0.1), random.uniform(0, 2 * math.pi)),
                cmath.rect(random.uniform(0.0, 0.1), random.uniform(0, 2 * math.pi)),
            ),
            textures=(CyclicTexture.draw(random, wavelength), CyclicTexture.draw(random, wavelength)),
            paints=(Paint.draw(random, base=40, contrast=60), Paint.draw(random, base=40, contrast=60)),
        )

    def render_over(
        self, canvas: Float32[np.ndarray, "3 h w"], grid: "PixelGrid", pose: Pose
    ) -> Float32[np.ndarray, "3 h w"]:
        """Paints it over a canvas."""
        place = self._place(grid, pose)
        across, along = place.real, place.imag
        near = self.paints[0](self.textures[0].sample(across - pose.inflow, along, pose.zoom))
        far = self.paints[1](self.textures[1].sample(across + pose.inflow, along, pose.zoom))
        body = near + grid.coverage(across) * (far - near)
        return canvas + self._cover(grid, place) * (body - canvas)

    def cover(self, grid: "PixelGrid", pose: Pose) -> Float32[np.ndarray, "h w"]:
        """Returns the share of each pixel that the object covers."""
        return self._cover(grid, self._place(grid, pose))

    def _place(self, grid: "PixelGrid", pose: Pose) -> Complex64[np.ndarray, "h w"]:
        """Returns places in the object's own frame as complex numbers: across the seam and along it."""
        x, y = grid.around(pose.x, pose.y)
        return (x + 1j * y) * np.complex64(cmath.rect(1.0, -pose.angle))

    def _cover(self, grid: "PixelGrid", place: Complex64[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        distance = np.abs(place)
        direction = place / np.maximum(distance, np.float32(_TINY))
        squared = direction * direction
        outline = self.radius * (1 + (self.lobes[0] * squared + self.lobes[1] * squared * direction).real)
        return grid.coverage(outline - distance)


@dataclasses.dataclass(frozen=True)
class PixelGrid:
    """The centres of the pixels of a square frame, in widths of the frame."""

    size: int
    x: Float32[np.ndarray, "h w"]
    y: Float32[np.ndarray, "h w"]

    @classmethod
    def of(cls, size: int) -> "PixelGrid":
        """Makes the grid of frames of `size` x `size` pixels."""
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        x, y = np.meshgrid(centres, centres)
        return cls(size, x, y)

    def around(self, x: float, y: float) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
        """Returns offsets of the pixels from a place, the shorter way round the torus: from -0.5 to 0.5."""
        right, down = self.x - np.float32(x), self.y - np.float32(y)
        return right - np.rint(right), down - np.rint(down)

    def coverage(self, depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        """Returns the share of each pixel inside a shape, given the depth below its edge in widths of the frame."""
        return np.clip(depth * self.size + 0.5, 0.0, 1.0)
