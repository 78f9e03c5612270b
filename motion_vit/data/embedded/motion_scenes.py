"""Scenes in which only motion tells the class.

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

Two properties hold by construction:

* The clip of a class is the clip of its reversal with the same seed, played backwards. A set of frames without their
  order therefore cannot separate the two, and no classifier of such sets is right more than half of the time.
* At any moment the scene has the same distribution in every class: places are uniform on a torus, angles on the circle,
  the zoom of the pattern is cyclic (`cyclic_texture`), the flow of a pattern moves noise over noise, and looks do not
  depend on the class. A single frame tells nothing; in the middle of the clip, all classes with the same seed show the
  same picture.

Every pattern and colour is as likely as its negative, so that the average over the clips of a class is plain grey, also
that of their mean frames: a linear classifier of pixels finds nothing to hold on to.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from motion_vit.data.embedded.scene_parts import Background, Distractor, MovingObject, PixelGrid, Pose
from motion_vit.errors import UserError

# Speeds are changes in an eighth of a clip, whatever its number of frames: what happens between two of eight samples.
_STEPS_IN_A_CLIP = 8


@dataclasses.dataclass(frozen=True)
class _Motion:
    """A change of one component of the pose, and the names of that change forwards and backwards in time.

    Attributes:
      forward: the class in which the component increases.
      backward: the class in which it decreases.
      component: name of the `Pose` field.
      slowest: least change in an eighth of the clip, in the unit of that field.
      fastest: greatest change in an eighth of the clip.
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
    """Returns the class that clips of a class show when they are played backwards.

    Args:
      label: one of `MOTION_CLASSES`.

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
class _Scene:
    """The content of a clip, forwards in time.

    Attributes:
      motion: class pair and speed range of the object.
      background: pattern behind everything.
      distractors: discs that stand still or tremble.
      moving: the patterned object in front.
      pose: place, angle and zoom of the object in the middle of the clip.
      speed: change of the moving component in an eighth of the clip.
      trembles: displacement of each distractor in each frame.
    """

    motion: _Motion
    background: Background
    distractors: list[Distractor]
    moving: MovingObject
    pose: Pose
    speed: float
    trembles: Float32[np.ndarray, "t distractors 2"]

    @classmethod
    def draw(cls, label: str, seed: int | np.random.SeedSequence, frames: int, size: int) -> "_Scene":
        """Draws a scene; the order of the draws is part of the dataset."""
        motion = _motion_of(label)
        if frames < 1 or size < 1:
            raise UserError(f"a clip needs at least one frame and one pixel; given frames={frames}, size={size}")
        random = np.random.default_rng(seed)
        background = Background.draw(random)
        distractors = [Distractor.draw(random) for _ in range(random.integers(2, 5))]
        moving = MovingObject.draw(random)
        pose = Pose(random.uniform(), random.uniform(), random.uniform(0, 2 * math.pi), random.uniform(), 0.0)
        speed = motion.slowest + (motion.fastest - motion.slowest) * random.uniform()
        trembles = random.standard_normal((frames, len(distractors), 2)).astype(np.float32)
        return cls(motion, background, distractors, moving, pose, speed, trembles)

    def time(self, frame: int) -> float:
        """Converts a frame number to eighths of the clip after its middle."""
        frames = len(self.trembles)
        return (frame - (frames - 1) / 2) * _STEPS_IN_A_CLIP / frames

    def pose_at(self, frame: int) -> Pose:
        """Returns the pose of the object in a frame."""
        component = getattr(self.pose, self.motion.component) + self.speed * self.time(frame)
        return dataclasses.replace(self.pose, **{self.motion.component: component})

    def render(self, grid: PixelGrid, frame: int) -> Float32[np.ndarray, "3 h w"]:
        """Paints a frame."""
        canvas = self.background.render(grid, self.time(frame))
        for distractor, shift in zip(self.distractors, self.trembles[frame], strict=True):
            canvas = distractor.render_over(canvas, grid, shift)
        return self.moving.render_over(canvas, grid, self.pose_at(frame))


def render_clip(
    label: str, seed: int | np.random.SeedSequence, *, frames: int = 16, size: int = 64
) -> UInt8[np.ndarray, "t h w 3"]:
    """Renders one clip of a class.

    Args:
      label: one of `MOTION_CLASSES`.
      seed: decides everything but the class. The clip of the reversed class with the same seed is this one backwards.
      frames: length of the clip; its motion covers the same distance whatever the length.
      size: height and width in pixels.

    Returns:
      The frames, RGB.

    Raises:
      UserError: `label` is no class, or the clip would have no frame or no pixel.
    """
    scene = _Scene.draw(label, seed, frames, size)
    grid = PixelGrid.of(size)
    clip = np.empty((frames, size, size, 3), np.uint8)
    for frame in range(frames):
        clip[frame] = np.clip(np.rint(scene.render(grid, frame)), 0, 255).transpose(1, 2, 0)
    return clip if label == scene.motion.forward else clip[::-1].copy()


class ObjectMotion(NamedTuple):
    """The true motion of an object that moves as a whole.

    Attributes:
      velocity: to the right and down, in pixels a frame.
      cover: the share of each pixel that the object covers.
    """

    velocity: tuple[float, float]
    cover: Float32[np.ndarray, "t h w"]


def object_motion(label: str, seed: int | np.random.SeedSequence, *, frames: int = 16, size: int = 64) -> ObjectMotion:
    """Returns the true motion of the object in a clip of `render_clip`.

    Args:
      label: "right", "left", "down" or "up".
      seed: as for `render_clip`.
      frames: as for `render_clip`.
      size: as for `render_clip`.

    Returns:
      The motion of the object.

    Raises:
      UserError: what `render_clip` raises, or the object does not move as a whole.
    """
    scene = _Scene.draw(label, seed, frames, size)
    if scene.motion.component not in ("x", "y"):
        raise UserError(f"the object of the class {label!r} does not move as a whole; it does in right, left, down, up")
    grid = PixelGrid.of(size)
    cover = np.stack([scene.moving.cover(grid, scene.pose_at(frame)) for frame in range(frames)])
    speed = scene.speed * _STEPS_IN_A_CLIP / frames * size
    if label != scene.motion.forward:
        speed, cover = -speed, cover[::-1].copy()
    return ObjectMotion((speed, 0.0) if scene.motion.component == "x" else (0.0, speed), cover)
