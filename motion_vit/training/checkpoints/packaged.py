"""Finds the trained models that are installed with the library."""

import importlib.resources
import pathlib

_PACKAGE = "motion_vit.checkpoints"


def packaged_checkpoints() -> dict[str, pathlib.Path]:
    """Finds the weights folders that are installed with the library.

    Returns:
      Name -> folder, by name.
    """
    folder = pathlib.Path(str(importlib.resources.files(_PACKAGE)))
    return {file.parent.name: file.parent for file in sorted(folder.glob("*/config.json"))}
