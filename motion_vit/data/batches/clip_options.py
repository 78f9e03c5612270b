"""Options for sampling, cropping and augmenting clips."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

from motion_vit.data.augmentation.rand_augment import parse_rand_augment
from motion_vit.data.batches.batch_ranges import STRIDE
from motion_vit.errors import UserError
from motion_vit.ranges import FRAMES, IMAGE_SIDE, Choice, Items, Number, Range, Text, Whole, problems

Sampling = Literal["segment", "dense"]
Crop = Literal["random_resized", "multi_scale"]
Flip = Literal["off", "on", "label_aware"]
RandAugmentOn = Literal["crop", "frame"]

_SHARE = Number(0, 1, above=True)

CLIP_RANGES: Mapping[str, Range] = {
    "frames": FRAMES,
    "extra_frames": Whole(0, 16),
    "size": IMAGE_SIDE,
    "sampling": Choice(get_args(Sampling)),
    "stride": STRIDE,
    "fps": Number(0, 1000),
    "crop": Choice(get_args(Crop)),
    "crop_scale": Items(_SHARE, 2, 2, purpose="the least and the greatest", order="not falling"),
    "crop_ratio": Items(Number(0.001, 1000), 2, 2, purpose="the least and the greatest", order="not falling"),
    "crop_sizes": Items(_SHARE, 1, 100),
    "flip": Choice(get_args(Flip)),
    "rand_augment": Text(200),
    "rand_augment_on": Choice(get_args(RandAugmentOn)),
    "repeats": Whole(1, 1000),
}
"""Option of clips -> what it may be."""


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """Sampling, size and augmentation of clips.

    Attributes:
      frames: frames of a clip.
      extra_frames: frames more than that, at the same spacing, for an input adapter that takes differences of frames
        (video motion prompts take one).
      size: side of the square crop in pixels.
      sampling: "segment" spreads the frames over the whole video (Something-Something), "dense" takes every
        `stride`-th frame from a random start (Kinetics).
      stride: distance of neighbouring frames for "dense": in frames of the video, or in ticks of the clock of `fps`.
      fps: ticks per second of a clock that "dense" samples by, taking the frame nearest in time to each tick, so that
        videos of all frame rates show the same motion; 0.0 counts frames, as the published loaders do.
      crop: "random_resized" cuts a box of random area and shape for training, "multi_scale" one of a few fixed sizes
        and places (TSN, TSM).
      crop_scale: least and greatest share of the picture that a "random_resized" crop covers.
      crop_ratio: least and greatest width / height of a "random_resized" crop.
      crop_sizes: sides of a "multi_scale" crop, as shares of the picture's shorter side.
      flip: whether training mirrors half of the clips: "off" where left and right are part of the label; "label_aware"
        gives the mirrored clip the label of its mirror image, and leaves alone the classes without one.
      rand_augment: a RandAugment of timm's notation, such as "rand-m7-n4-mstd0.5-inc1"; "" for none.
      rand_augment_on: whether RandAugment changes the "crop" (timm's order for images) or, before it is cut, the whole
        "frame" (the order of the UniFormer and SlowFast loaders). The cost is proportional to the pixels.
      repeats: clips made of a training video at a time: decoded once, augmented anew for each (repeated augmentation).
    """

    frames: int = 16
    extra_frames: int = 0
    size: int = 224
    sampling: Sampling = "segment"
    stride: int = 4
    fps: float = 0.0
    crop: Crop = "random_resized"
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    crop_sizes: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    flip: Flip = "off"
    rand_augment: str = ""
    rand_augment_on: RandAugmentOn = "crop"
    repeats: int = 1

    @property
    def decoded_frames(self) -> int:
        """Frames of a clip as it leaves the pipeline."""
        return self.frames + self.extra_frames

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a clip: frames, height, width, colours."""
        return self.decoded_frames, self.size, self.size, 3

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: a value is out of its range.
        """
        if found := problems(dataclasses.asdict(self), CLIP_RANGES):
            raise UserError(f"clips: {found[0]}.")
        if self.fps and self.sampling != "dense":
            raise UserError(
                f"clips: fps={self.fps:g} is for dense sampling, and sampling is {self.sampling!r}, which spreads the "
                "frames over the whole video whatever its frame rate; set sampling to 'dense', or fps to 0"
            )
        if self.rand_augment:
            parse_rand_augment(self.rand_augment)
