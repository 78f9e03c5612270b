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

A clip may also get the `look` of a class, a background that stands for it. Where looks follow labels, a single frame
tells the class, and a model may learn that instead of motion.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from motion_vit.data.embedded.class_looks import with_look
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
    label: str, seed: int | np.random.SeedSequence, *, frames: int = 16, size: int = 64, look: str | None = None
) -> UInt8[np.ndarray, "t h w 3"]:
    """Renders one clip of a class.

    Args:
      label: one of `MOTION_CLASSES`.
      seed: decides everything but the class. The clip of the reversed class with the same seed is this one backwards.
      frames: length of the clip; its motion covers the same distance whatever the length.
      size: height and width in pixels.
      look: the class whose background the clip gets; None for one that the seed decides.

    Returns:
      The frames, RGB.

    Raises:
      UserError: `label` or `look` is no class, or the clip would have no frame or no pixel.
    """
    scene = _Scene.draw(label, seed, frames, size)
    if look is not None:
        _motion_of(look)
        background = with_look(scene.background, MOTION_CLASSES.index(look), len(MOTION_CLASSES))
        scene = dataclasses.replace(scene, background=background)
    return _pictures(scene.render, size, _order(scene, label))


def render_object(
    label: str,
    seed: int | np.random.SeedSequence,
    backdrop: UInt8[np.ndarray, "h w 3"],
    *,
    frames: int = 16,
    shown: Sequence[int] | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Renders the object of a clip, moving as there, over a still picture in the place of all else.

    The object's exact mask `M` decides: `M * object + (1 - M) * backdrop`. At its edge, where `M` is between 0 and 1,
    nothing is left of the clip's own background.

    Args:
      label: as for `render_clip`.
      seed: as for `render_clip`.
      backdrop: the square picture, RGB.
      frames: length of the clip.
      shown: numbers of the frames to render; None for all, in their order.

    Returns:
      The frames, RGB, of the size of the backdrop.

    Raises:
      UserError: what `render_clip` raises.
    """
    size = len(backdrop)
    scene = _Scene.draw(label, seed, frames, size)
    canvas = backdrop.transpose(2, 0, 1).astype(np.float32)
    order = _order(scene, label)

    def paint(grid: PixelGrid, frame: int) -> Float32[np.ndarray, "3 h w"]:
        return scene.moving.render_over(canvas, grid, scene.pose_at(frame))

    return _pictures(paint, size, order if shown is None else [order[number] for number in shown])


def _order(scene: _Scene, label: str) -> Sequence[int]:
    """Returns the frames of a scene in the order of the clip of a class, which may be that of time or its reversal."""
    order = range(len(scene.trembles))
    return order if label == scene.motion.forward else order[::-1]


def _pictures(
    paint: Callable[[PixelGrid, int], Float32[np.ndarray, "3 h w"]], size: int, frames: Sequence[int]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Paints frames, and rounds them to pixels."""
    grid = PixelGrid.of(size)
    clip = np.empty((len(frames), size, size, 3), np.uint8)
    for place, frame in enumerate(frames):
        clip[place] = np.clip(np.rint(paint(grid, frame)), 0, 255).transpose(1, 2, 0)
    return clip


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
