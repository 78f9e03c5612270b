"""The place of downloaded weights, and the word of the user on downloads.

Files of the Hugging Face hub lie in that library's own cache (`HF_HOME`), all others in `MOTION_VIT_CACHE`, by default
`~/.cache/motion_vit`.
"""

import os
import pathlib

CACHE_VARIABLE = "MOTION_VIT_CACHE"
OFFLINE_VARIABLE = "HF_HUB_OFFLINE"

LARGEST_FILE = 32 * 2**30
"""Bytes. The largest published weights of video classifiers take a tenth of it."""

_TRUE = ("1", "ON", "YES", "TRUE")


def weights_cache(name: str) -> pathlib.Path:
    """Names the folder for the weights of a row of the zoo.

    Args:
      name: id of the row.

    Returns:
      A folder that need not exist.
    """
    general = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    own = os.environ.get(CACHE_VARIABLE) or pathlib.Path(general, "motion_vit")
    return pathlib.Path(own).expanduser() / "weights" / name


def is_offline() -> bool:
    """Tells if the user has forbidden downloads, as the Hugging Face hub's own library reads it."""
    return os.environ.get(OFFLINE_VARIABLE, "").upper() in _TRUE
