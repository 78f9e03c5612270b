"""The trained models that are installed with the library, by name."""

import importlib.resources
import os
import pathlib

_PACKAGE = "motion_vit.checkpoints"


def packaged_checkpoints() -> dict[str, pathlib.Path]:
    """Finds the weights folders that are installed with the library.

    Returns:
      Name -> folder, by name.
    """
    folder = pathlib.Path(str(importlib.resources.files(_PACKAGE)))
    return {file.parent.name: file.parent for file in sorted(folder.glob("*/config.json"))}


def checkpoint_folder(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Finds the folder of a trained model that is given by name.

    Args:
      folder: what the user gave: a path, or the name of an installed model, such as "demo".

    Returns:
      The path as it is where it exists, else the installed model's folder if it is the name of one.
    """
    path = pathlib.Path(folder)
    return path if path.exists() else packaged_checkpoints().get(str(folder), path)
