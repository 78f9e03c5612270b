"""Caches compiled programs between runs, so that later starts are faster."""

import os
import pathlib

import jax

KEEP_STEPS_VARIABLE = "MOTION_VIT_KEEP_STEPS"
"""Environment variable, "0" to trace the training step at every start."""

_DEFAULT_FOLDER = "~/.cache/motion_vit/jax"
_STEPS = "steps"


def enable_compilation_cache() -> None:
    """Caches compiled programs in `~/.cache/motion_vit/jax`, unless JAX's own environment variable names a folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(_DEFAULT_FOLDER).expanduser()))


def kept_steps_folder() -> pathlib.Path | None:
    """Names the folder in which traced steps are kept: one in that of compiled programs.

    Returns:
      A folder that need not exist; None where no programs are kept, or not on a local disk, or where the variable
      `MOTION_VIT_KEEP_STEPS` is 0.
    """
    settings = jax.config.values
    folder = settings["jax_compilation_cache_dir"]
    if os.environ.get(KEEP_STEPS_VARIABLE) == "0" or not settings["jax_enable_compilation_cache"]:
        return None
    return pathlib.Path(folder, _STEPS) if folder and "://" not in folder else None
