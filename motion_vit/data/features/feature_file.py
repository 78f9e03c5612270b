"""A file of features: tokens, labels and what could be decoded, of some videos, as safetensors.

Safetensors is read by every framework, maps into memory, so that a view is read without the others, and has bfloat16,
which files of NumPy have not.
"""

import json
import pathlib
import threading
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Bool, Float, Int

from motion_vit.data.features.description import FeatureDtype
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_path

# One text: safetensors writes several in an order of its own, and the same features are to be the same bytes.
_METADATA = "motion_vit_features"
_STORED: Mapping[FeatureDtype, str] = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}

Tokens = Float[np.ndarray, "frames tokens width"]


class FeatureRows(NamedTuple):
    """Features of videos that lie in one file.

    Attributes:
      tokens: of each view of each video; 0 for one that could not be decoded.
      labels: classes of the videos, indices into the label names of the description.
      decoded: whether a video could be decoded.
    """

    tokens: Float[np.ndarray, "n views frames tokens width"]
    labels: Int[np.ndarray, " n"]
    decoded: Bool[np.ndarray, " n"]


def write_feature_file(path: pathlib.Path, rows: FeatureRows, *, fingerprint: str, first_row: int) -> None:
    """Writes features of some videos, atomically.

    Args:
      path: the file.
      rows: tokens, labels and what could be decoded, of neighbouring videos.
      fingerprint: of their description.
      first_row: number of the first video among all.

    Raises:
      UnwritableError: the disk is full or refuses.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in rows._asdict().items()}
    about = {"fingerprint": fingerprint, "first_row": first_row, "crc32": _crc32(arrays)}
    with atomic_path(path) as unfinished:
        try:
            safetensors.numpy.save_file(arrays, unfinished, metadata={_METADATA: json.dumps(about)})
        except safetensors.SafetensorError as error:  # its name for what the system refuses
            raise OSError(str(error)) from error


class FeatureFile:
    """A file of features, mapped into memory; may be read from several threads.

    Args:
      path: of `write_feature_file`.
      fingerprint: of the description that the file must be of.
      first_row: number of its first video.
      shape: videos, views, frames, tokens and channels.
      dtype: of the tokens.

    Raises:
      UserError: it is missing, damaged, or of other features.
    """

    def __init__(
        self,
        path: pathlib.Path,
        *,
        fingerprint: str,
        first_row: int,
        shape: tuple[int, int, int, int, int],
        dtype: FeatureDtype,
    ) -> None:
        self._path, self._lock, self._intact = path, threading.Lock(), False
        if not path.is_file():
            raise _damaged(path, "it is missing")
        try:
            # Opening compares the header with the size of the file; no tensor is read yet.
            self._file = safetensors.safe_open(path, framework="np")
            about = json.loads((self._file.metadata() or {}).get(_METADATA, "{}"))
            if (about.get("fingerprint"), about.get("first_row")) != (fingerprint, first_row):
                raise _damaged(path, "it is of other features than the folder says")
            self._crc32 = about.get("crc32")
            self._tokens = self._file.get_slice("tokens")
            found = tuple(self._tokens.get_shape()), self._tokens.get_dtype()
            if found != (shape, _STORED[dtype]):
                raise _damaged(path, f"its tokens are {found[1]} {list(found[0])}")
            self.labels: Int[np.ndarray, " n"] = self._file.get_tensor("labels")
            self.decoded: Bool[np.ndarray, " n"] = self._file.get_tensor("decoded")
        except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
            raise _damaged(path, str(error).splitlines()[0]) from error
        if self.labels.shape != shape[:1] or self.decoded.shape != shape[:1]:
            raise _damaged(path, f"it has {self.labels.shape} labels of {shape[0]} videos")

    def read(self, place: int, view: int) -> Tokens:
        """Reads the tokens of a view; before the first ones of a file, all of it is compared with its checksum.

        Args:
          place: number of the video in the file.
          view: number of the view.

        Raises:
          UserError: the file is damaged.
        """
        with self._lock:
            if not self._intact:
                self._check()
        tokens: Tokens = self._tokens[place : place + 1, view : view + 1]
        return tokens[0, 0]

    def _check(self) -> None:
        arrays = {name: self._file.get_tensor(name) for name in FeatureRows._fields}
        if _crc32(arrays) != self._crc32:
            raise _damaged(self._path, "it has other content than was written")
        self._intact = True


def _crc32(arrays: Mapping[str, Any]) -> str:
    crc = 0
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        crc = zlib.crc32(array.view(np.uint8).data if array.size else b"", crc)
    return f"{crc:08x}"


def _damaged(path: pathlib.Path, reason: str) -> UserError:
    return UserError(
        f"the features in {path} cannot be used: {reason}. Remove the file, and run the command again that made the "
        "features: it makes what is missing."
    )
