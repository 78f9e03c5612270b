"""The parameters of a rendered dataset, which decide each of its videos, and the file that keeps them."""

import dataclasses
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from motion_vit.data.embedded.dataset_ranges import APPEARANCE_BIAS, CLIP_FRAMES, SCENE_SIZE, SPLIT_CLIPS
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES
from motion_vit.data.video.encoding import VIDEO_SUFFIXES
from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.ranges import SEED, Choice, Items, refusal

PARAMETERS_FILE = "dataset.json"
"""The file in the folder of a rendered dataset."""

RENDERER_VERSION = 1
"""Goes up when the same seed no longer gives the same videos, so that older folders are not taken for today's."""

Looks = Literal["biased", "unbiased", "conflicting"]
"""How the looks of a split follow its labels."""

_LENGTHS = Items(CLIP_FRAMES, 2, 2, purpose="the least and the greatest length of a clip", order="not falling")


@dataclasses.dataclass(frozen=True)
class RenderedVideo:
    """One video of the dataset, before it is rendered.

    Attributes:
      name: its path below the dataset's folder, with forward slashes.
      label: its class.
      frames: its length.
      seed: source of its scene.
      look: the class whose background it has; None where looks are not tied to classes.
    """

    name: str
    label: str
    frames: int
    seed: np.random.SeedSequence
    look: str | None = None


@dataclasses.dataclass(frozen=True)
class DatasetParameters:
    """The parameters of a dataset.

    Attributes:
      splits: name -> number of clips.
      size: height and width in pixels.
      frames: least and greatest length of a clip.
      seed: source of all randomness.
      appearance_bias: probability that a clip has the look of its own class, else that of any other one; None draws
        backgrounds that have nothing to do with classes.
      looks: name of a split -> how its looks follow the labels, where these are tied at all: "biased", as all that are
        not named; "unbiased", each look as likely as each other; or "conflicting", never that of the label.
    """

    splits: Mapping[str, int]
    size: int
    frames: tuple[int, int]
    seed: int
    appearance_bias: float | None = None
    looks: Mapping[str, Looks] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: one is out of its range.
        """
        for name, clips in self.splits.items():
            if not name.isidentifier():
                raise UserError(f"a split is named by letters, digits and underscores, as in 'train'; given {name!r}")
            if not SPLIT_CLIPS.holds(clips):
                raise UserError(f"{refusal(f'the number of clips of the split {name!r}', clips, SPLIT_CLIPS)}.")
        if not self.splits:
            raise UserError("a dataset needs at least one split, as in splits={'train': 3000}; given none")
        if not SCENE_SIZE.holds(self.size) or self.size % 2:
            raise UserError(
                f"{refusal('size', self.size, SCENE_SIZE)} and even: videos of motion scenes have such sizes."
            )
        if not _LENGTHS.holds(self.frames):
            raise UserError(f"{refusal('frames', self.frames, _LENGTHS)}.")
        self._check_looks()

    def _check_looks(self) -> None:
        if self.appearance_bias is not None and not APPEARANCE_BIAS.holds(self.appearance_bias):
            raise UserError(f"{refusal('appearance_bias', self.appearance_bias, APPEARANCE_BIAS)}.")
        for split, looks in self.looks.items():
            if split not in self.splits:
                raise UserError(f"looks names the split {split!r}, but the splits are {', '.join(self.splits)}.")
            if not Choice(get_args(Looks)).holds(looks):
                raise UserError(f"{refusal(f'looks of the split {split!r}', looks, Choice(get_args(Looks)))}.")
        if self.looks and self.appearance_bias is None:
            raise UserError(
                "looks says how backgrounds follow labels, but without appearance_bias they have nothing to do with "
                "them. Give appearance_bias, such as 0.95, or leave looks out."
            )

    @classmethod
    def read(cls, folder: pathlib.Path) -> "DatasetParameters":
        """Reads the parameters of a rendered dataset.

        Args:
          folder: of `render_dataset`.

        Returns:
          The parameters.

        Raises:
          UserError: the folder has no such file, it is damaged, or it is of another version of the renderer.
        """
        path = folder / PARAMETERS_FILE
        if not path.exists():
            raise UserError(f"there is no {path}, which `motion-vit render` writes beside its lists.")
        try:
            found = read_json(path)
            version = found.pop("renderer_version")
            if not SEED.holds(found["seed"]):
                raise ValueError(refusal("seed", found["seed"], SEED))
            parameters = cls(**{**found, "frames": tuple(found["frames"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
            raise UserError(f"{path} is damaged: {error}. Render the dataset again.") from error
        if version != RENDERER_VERSION:
            raise UserError(
                f"{path} is of version {version!r} of the renderer, but this one is {RENDERER_VERSION}, whose "
                "scenes are others. Render the dataset again."
            )
        return parameters

    def to_dict(self) -> dict[str, Any]:
        """Returns the parameters for JSON; those of looks only where looks are tied to classes."""
        tied = (
            {} if self.appearance_bias is None else {"appearance_bias": self.appearance_bias, "looks": {**self.looks}}
        )
        return {
            "renderer_version": RENDERER_VERSION,
            "splits": dict(self.splits),
            "size": self.size,
            "frames": list(self.frames),
            "seed": self.seed,
            **tied,
        }

    def look_probability(self, split: str) -> float | None:
        """Returns the probability that a clip of a split has the look of its class; None where looks are not tied."""
        if self.appearance_bias is None:
            return None
        looks = self.looks.get(split, "biased")
        return {"biased": self.appearance_bias, "unbiased": 1 / len(MOTION_CLASSES), "conflicting": 0.0}[looks]

    def videos(self, split: str) -> list[RenderedVideo]:
        """Decides everything about a split but the pixels.

        Args:
          split: name of one.

        Returns:
          Its videos, in order.
        """
        clips, probability = self.splits[split], self.look_probability(split)
        # The split's name is part of every seed below it, so that no two splits share one.
        root = np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(split.encode()),))
        # Child 0 orders the classes, the children after it are the clips: a clip's own seed must not decide its class.
        order, *scenes = root.spawn(clips + 1)
        classes = np.random.default_rng(order).permutation(np.arange(clips) % len(MOTION_CLASSES))
        digits = max(5, len(str(clips)))
        videos = []
        for number, (position, scene) in enumerate(zip(classes, scenes, strict=True), start=1):
            # Length, container and look are drawn apart from the scene, or they would give the class away.
            form, content, look = scene.spawn(3)
            random = np.random.default_rng(form)
            length = int(random.integers(self.frames[0], self.frames[1], endpoint=True))
            suffix = VIDEO_SUFFIXES[random.integers(len(VIDEO_SUFFIXES))]
            name = f"videos/{split}/{number:0{digits}d}{suffix}"
            label = MOTION_CLASSES[position]
            seen = None if probability is None else _draw_look(label, probability, np.random.default_rng(look))
            videos.append(RenderedVideo(name, label, length, content, seen))
        return videos


def _draw_look(label: str, probability: float, random: np.random.Generator) -> str:
    """Draws the look of a class with a probability, else that of another one."""
    if random.uniform() < probability:
        return label
    others = [name for name in MOTION_CLASSES if name != label]
    return others[random.integers(len(others))]
