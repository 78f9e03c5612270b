"""Makes inputs whose only fault is a size: one that they claim, or several that are absurd together."""

import io
import json
import math
import pathlib
import random
import struct
import zipfile
from typing import Any

import numpy as np

from motion_vit.models.option import option_defaults
from motion_vit.models.registry import model_class
from motion_vit.training.recipe.config import default_config, flatten

_SIZES = (10**4, 10**6, 10**9, 10**12, 2**31, 2**63, 10**18, 10**400, -1, 0, 1e308, math.nan, math.inf)
_DIGITS = "9" * 5000


def _size(rng: random.Random) -> Any:
    """Draws a size, or a list of some."""
    size = rng.choice(_SIZES)
    return rng.choice([size, [size] * rng.choice([1, 2, 3, 4, 1000]), [[".*", size]]])


def sized_recipe(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes fields of a recipe, with a size in one of them or large but permitted ones in several.

    Args:
      rng: draws everything.
      folder: an empty folder.
      good: not needed.

    Returns:
      A file of JSON: dotted name -> value.
    """
    if rng.random() < 0.3:
        together = ("batch_size", "data.frames", "data.size", "evaluation.clips", "augmentation.repeats")
        fields: dict[str, Any] = {name: 10 ** rng.randint(1, 4) for name in together}
    else:
        options = [f"model.options.{name}" for name in option_defaults(model_class("uniformer_emim_tiny"))]
        fields = {rng.choice([*flatten(default_config()), *options]): _size(rng)}
    path = folder / "fields.json"
    path.write_text(json.dumps(fields))
    return path


def sized_weights(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a file of weights of a few hundred bytes that claims huge ones, or names with numbers of many digits.

    Args:
      rng: draws everything.
      folder: an empty folder.
      good: not needed.

    Returns:
      A `.safetensors` or `.npz` file.
    """
    rows = rng.choice([10, 10**6, 10**9, 10**12, 2**62])
    number = rng.choice(["0", "10", _DIGITS])
    name = rng.choice(["head.weight", f"blocks1.{number}.attn.weight", f"params/stage3/block{number}/norm1/scale"])
    if rng.random() < 0.5:
        path = folder / "weights.npz"
        header = io.BytesIO()
        described = {"descr": "<f4", "fortran_order": False, "shape": (rows, 128)}
        np.lib.format.write_array_header_1_0(header, described)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(rng.choice([0, 40, 5120])))
        return path
    path = folder / "weights.safetensors"
    end = rng.choice([40, rows * 4])
    text = json.dumps({name: {"dtype": "F32", "shape": [rows], "data_offsets": [0, end]}}).encode()
    path.write_bytes(struct.pack("<Q", rng.choice([len(text), 10**9, 2**62])) + text + bytes(40))
    return path
