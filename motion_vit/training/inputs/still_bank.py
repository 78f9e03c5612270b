"""The bank of still frames that StillMix blends into clips: one file of NumPy's, `bank.npz`."""

import os
import pathlib
import zipfile
import zlib

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_file
from motion_vit.files.local_path import local_path

# A bank of 1024 frames of 224 x 224 pixels has 154 MB, and every device holds a copy.
_LARGEST = 2**33
# What reading a damaged archive raises. RuntimeError is of encryption, and of compression that Python does not know.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, MemoryError, OSError),
    *(RuntimeError, TypeError, ValueError),
)


def read_still_bank(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "n size size 3"]:
    """Reads a bank.

    Args:
      path: of `write_still_bank`.

    Returns:
      The frames, RGB from 0 to 255.

    Raises:
      UserError: there is no such file, or it holds no bank.
    """
    place = local_path(path)
    advice = "`motion-vit frames score` writes such a file."
    if not place.is_file():
        raise UserError(f"there is no bank of still frames {place}. {advice}")
    try:
        with zipfile.ZipFile(place) as archive:
            size = archive.getinfo("frames.npy").file_size
        if size > _LARGEST:
            raise UserError(
                f"the bank {place} has {size:.2g} bytes, but at most {_LARGEST:.2g} are. Keep fewer frames."
            )
        with np.load(place, allow_pickle=False) as arrays:
            frames: np.ndarray = arrays["frames"]
    except _DAMAGE as error:
        raise UserError(f"{place} is no bank of still frames: {error}. {advice}") from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise UserError(
            f"{place} is no bank of still frames: expected uint8 [n, height, width, 3], found {frames.dtype} "
            f"{frames.shape}. {advice}"
        )
    return frames


def write_still_bank(path: str | os.PathLike[str], frames: UInt8[np.ndarray, "n size size 3"]) -> None:
    """Writes a bank.

    Args:
      path: the file, whose name ends in `.npz`.
      frames: RGB from 0 to 255.

    Raises:
      UserError: the name ends otherwise, or the file cannot be written.
    """
    with atomic_file(bank_path(path)) as file:
        np.savez_compressed(file, frames=frames)


def bank_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Checks the name of a bank to be written.

    Args:
      path: the file.

    Returns:
      The path.

    Raises:
      UserError: its name does not end in `.npz`.
    """
    place = local_path(path)
    if place.suffix != ".npz":
        raise UserError(f"a bank of still frames is a file of NumPy, whose name ends in .npz; given {place}.")
    return place


def still_bank(config: ConfigDict) -> UInt8[np.ndarray, "n size size 3"] | None:
    """Reads the bank of a recipe.

    Args:
      config: the recipe.

    Returns:
      The frames; None where the recipe takes none.

    Raises:
      UserError: the bank cannot be read, or has frames of another size than `data.size`.
    """
    fields = config.augmentation
    if fields.still != "bank":
        return None
    frames = read_still_bank(fields.still_bank)
    size = config.data.size
    if frames.shape[1:3] != (size, size):
        raise UserError(
            f"config field augmentation.still_bank: the bank {fields.still_bank} has frames of {frames.shape[1]} x "
            f"{frames.shape[2]} pixels, but data.size is {size}. `motion-vit frames score` makes one of that size."
        )
    return frames
