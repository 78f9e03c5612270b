"""Makes hostile and damaged inputs from good ones, the same for the same seed."""

import pathlib
import random
from typing import Protocol

from hostile_lists import hostile_labels, hostile_list
from hostile_runs import damaged_prepared, damaged_run, hostile_overrides, hostile_recipe, hostile_recipe_file
from hostile_sizes import sized_recipe, sized_weights
from hostile_videos import hostile_list_of_videos, hostile_video
from hostile_weights import hostile_description, hostile_foreign_weights, hostile_weights_folder


class WritesInput(Protocol):
    """Writes an input of a kind."""

    def __call__(self, rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
        """Writes an input.

        Args:
          rng: fixes everything about it.
          folder: an empty folder.
          good: of `good_inputs.write_good_inputs`.

        Returns:
          The file, or the folder where the kind is of folders.
        """
        ...


KINDS: dict[str, WritesInput] = {
    "video": hostile_video,
    "videos of a list": hostile_list_of_videos,
    "list": hostile_list,
    "class names": hostile_labels,
    "recipe": hostile_recipe,
    "override": hostile_overrides,
    "recipe file": hostile_recipe_file,
    "foreign weights": hostile_foreign_weights,
    "weights folder": hostile_weights_folder,
    "description": hostile_description,
    "run": damaged_run,
    "prepared folder": damaged_prepared,
    "sized recipe": sized_recipe,
    "sized weights": sized_weights,
}
"""What inputs there are, and what writes them."""


def write_input(kind: str, seed: int, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes an input.

    Args:
      kind: one of `KINDS`.
      seed: fixes everything about it.
      folder: an empty folder.
      good: of `good_inputs.write_good_inputs`.

    Returns:
      The file, or the folder where the kind is of folders.
    """
    return KINDS[kind](random.Random(f"{kind} {seed}"), folder, good)
