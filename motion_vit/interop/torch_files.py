"""Reads PyTorch weights from files: names to arrays, and nothing that runs code."""

import os
import pathlib
import pickle
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from motion_vit.errors import UserError

Source = str | os.PathLike[str] | Mapping[str, Any]

TORCH_SUFFIXES = (".pyth", ".pth", ".pt")
"""Files of `torch.save`; `.pyth` is what PySlowFast, and so UniFormer and EMIM, call them."""

_WRAPPERS = ("model_state", "model", "state_dict", "model_state_dict")
"""Entries under which training codes keep the weights, beside the optimizer and the epoch."""

_PREFIXES = ("module.", "_orig_mod.")
"""What `DistributedDataParallel` and `torch.compile` put before every name."""


def describe_source(source: Source) -> str:
    """What a message calls a source: its path, or "the mapping"."""
    return "the mapping" if isinstance(source, Mapping) else os.fspath(source)


def read_state_dict(source: Source) -> dict[str, np.ndarray]:
    """Reads a PyTorch state dict as numpy arrays.

    Args:
      source: a path ending in `.pyth`, `.pth` or `.pt` (read with PyTorch's weights-only loader, which executes
        nothing), `.safetensors` or `.npz`; or a mapping of names to arrays or tensors. The weights may lie under
        "model_state", "model", "state_dict" or "model_state_dict", and all names may begin with "module.".

    Returns:
      Names to arrays: those of floating point as float32, others as they are.

    Raises:
      UserError: the file is absent, unreadable, not a checkpoint or holds more than weights; PyTorch or safetensors is
        not installed; there are no weights in it.
    """
    content = source if isinstance(source, Mapping) else _read_file(pathlib.Path(source))
    where = describe_source(source)
    entries = _unwrap(content)
    for name, value in entries.items():
        if not isinstance(name, str) or not hasattr(value, "shape"):
            raise UserError(
                f"{where} holds no PyTorch state dict: its entry {name!r} is a {type(value).__name__}, not an array. "
                f"Expected names and arrays, at the top or under one of {', '.join(_WRAPPERS)}."
            )
    if not entries:
        raise UserError(f"{where} holds no weights. Expected the state dict of a PyTorch model.")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in entries):
            entries = {name.removeprefix(prefix): value for name, value in entries.items()}
    return {name: _to_numpy(value) for name, value in entries.items()}


def _unwrap(content: Mapping[str, Any]) -> Mapping[str, Any]:
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            return _unwrap(content[wrapper])
    return content


def _to_numpy(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a PyTorch tensor, recognised without importing PyTorch
        value = value.detach().cpu()
        # NumPy has no bfloat16 that PyTorch could hand over.
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _read_file(path: pathlib.Path) -> Mapping[str, Any]:
    readers = dict.fromkeys(TORCH_SUFFIXES, _read_torch) | {".safetensors": _read_safetensors, ".npz": _read_npz}
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"the PyTorch weights {path} cannot be read: the path {what}. Give the path of a weights file.")
    if path.suffix not in readers:
        raise UserError(f"the format of {path} is not known. Expected a file ending in {', '.join(readers)}.")
    content = readers[path.suffix](path)
    if not isinstance(content, Mapping):
        raise UserError(
            f"{path} holds a {type(content).__name__}, not a PyTorch state dict. Save the weights where they come "
            "from with torch.save(model.state_dict(), path)."
        )
    return content


def _read_torch(path: pathlib.Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch, which is not installed. Install it with: pip install 'motion_vit[torch]'."
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        object_name = found.group(1) if found else "something that is not a tensor"
        raise UserError(
            f"{path} is refused: it holds more than weights ({object_name}), and loading that could run code. Nothing "
            "in it was executed. If you trust its origin, save the weights alone there with "
            "torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:
        # The reader raises whatever the bytes of a foreign file lead it to: KeyError, EOFError, RuntimeError, ...
        raise _unreadable(path, "a PyTorch checkpoint", error) from error


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise UserError(
            f"reading {path} needs safetensors, which is not installed. Install it with: "
            "pip install 'motion_vit[torch]'."
        ) from error
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, "a safetensors file", error) from error


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:
        # NumPy lets the errors of zipfile, zlib, pickle and of its header parser through.
        raise _unreadable(path, "an npz file of arrays", error) from error


def _unreadable(path: pathlib.Path, kind: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [""])[0]
    return UserError(
        f"{path} cannot be read as {kind}: it is damaged, incomplete or something else "
        f"({type(error).__name__}: {reason}). Check the file, or copy or download it again."
    )
