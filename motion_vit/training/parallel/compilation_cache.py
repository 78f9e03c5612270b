"""Caches compiled programs between runs, so that later starts are faster."""

import os
import pathlib

import jax

_DEFAULT_FOLDER = "~/.cache/motion_vit/jax"


def enable_compilation_cache() -> None:
    """Caches compiled programs in `~/.cache/motion_vit/jax`, unless JAX's own environment variable names a folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(_DEFAULT_FOLDER).expanduser()))
