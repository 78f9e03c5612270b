"""The corruptions by name, each with five severities."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.corruptions.blur import defocus_blur, motion_blur, zoom_blur
from motion_vit.data.corruptions.compression import check_h265, h265_abr, jpeg_compression
from motion_vit.data.corruptions.contrast import contrast
from motion_vit.data.corruptions.noise import gaussian_noise, impulse_noise, pepper_noise, salt_noise, shot_noise
from motion_vit.data.corruptions.rain import rain
from motion_vit.errors import UserError, did_you_mean
from motion_vit.ranges import SEED, Whole, problems, shown

Clip = UInt8[np.ndarray, "t h w 3"]

CORRUPTIONS: Mapping[str, Callable[[Clip, int, np.random.Generator], Clip]] = {
    "gaussian_noise": gaussian_noise,
    "pepper_noise": pepper_noise,
    "salt_noise": salt_noise,
    "shot_noise": shot_noise,
    "zoom_blur": zoom_blur,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "jpeg_compression": jpeg_compression,
    "contrast": contrast,
    "rain": rain,
    "h265_abr": h265_abr,
}
"""The twelve corruptions of ViTTA (Lin et al., CVPR 2023, arXiv 2211.15393), in the order of its tables."""

SEVERITY = Whole(1, 5)
"""How strong a corruption is."""

ALL = "all"
"""Stands for every corruption, and for every severity."""


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A corruption of clips.

    Attributes:
      name: one of `CORRUPTIONS`.
      severity: from 1 to 5.
      seed: another one draws other noise, directions and drops.
    """

    name: str
    severity: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: there is no such corruption, it needs an encoder that is missing, or a number is out of range.
        """
        _check_name(self.name)
        if found := problems(dataclasses.asdict(self), {"severity": SEVERITY, "seed": SEED}):
            raise UserError(f"corruption {self.name}: {found[0]}.")
        if self.name == "h265_abr":
            check_h265()

    def __call__(self, clip: Clip, place: Sequence[int]) -> Clip:
        """Corrupts a clip.

        Args:
          clip: the frames.
          place: whole numbers that fix the draws with the name and the seed, such as those of the video in its source
            and of the clip in the video. Severities share their draws.

        Returns:
          A new clip.
        """
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), *place])
        return CORRUPTIONS[self.name](clip, self.severity, rng)


def parse_corruptions(text: str) -> tuple[str, ...]:
    """Reads the names of corruptions.

    Args:
      text: "all", or names with commas between them.

    Returns:
      The names, in the order given.

    Raises:
      UserError: no name is given, one twice, or one that is not known.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if names == (ALL,):
        return tuple(CORRUPTIONS)
    if not names:
        raise UserError(f"no corruption is named; give {ALL}, or some of {', '.join(CORRUPTIONS)}.")
    if ALL in names:
        raise UserError(f"{ALL} stands for every corruption; give it alone, or names without it.")
    for name in names:
        _check_name(name)
    _refuse_repetition("corruption", names)
    return names


def parse_severities(text: str) -> tuple[int, ...]:
    """Reads severities.

    Args:
      text: "all", or whole numbers from 1 to 5 with commas between them.

    Returns:
      The numbers, rising.

    Raises:
      UserError: no number is given, one twice, or one out of range.
    """
    parts = [part for given in text.split(",") if (part := given.strip())]
    if parts == [ALL]:
        return tuple(range(SEVERITY.least, SEVERITY.most + 1))
    if not parts:
        raise UserError(f"no severity is given; give {ALL}, or some numbers from {SEVERITY.least} to {SEVERITY.most}.")
    for part in parts:
        if not (part.isascii() and part.isdigit() and SEVERITY.holds(int(part[:2]))):
            raise UserError(f"a severity is given as {shown(part)}, but must be {SEVERITY.expectation}, or {ALL}.")
    _refuse_repetition("severity", parts)
    return tuple(sorted(map(int, parts)))


def _refuse_repetition(what: str, given: Sequence[str]) -> None:
    if repeated := [each for number, each in enumerate(given) if each in given[:number]]:
        raise UserError(f"the {what} {repeated[0]} is given twice.")


def _check_name(name: str) -> None:
    if name not in CORRUPTIONS:
        raise UserError(
            f"there is no corruption {shown(name)}.{did_you_mean(name, CORRUPTIONS)} They are: "
            f"{', '.join(CORRUPTIONS)}; and {ALL} names all of them."
        )
