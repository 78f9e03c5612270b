"""Reads weights from files of other frameworks: names and shapes at once, values on request.

Nothing in a file is executed, and neither PyTorch nor another framework needs to be installed.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
from numpy.typing import DTypeLike

from motion_vit.errors import UserError
from motion_vit.interop.files.flax_file import open_flax_file
from motion_vit.interop.files.name_prefixes import uniform_prefix, without_prefix
from motion_vit.interop.files.npz_file import open_npz
from motion_vit.interop.files.stored_tensor import DamagedFileError, MoreThanWeightsError, StoredTensor
from motion_vit.interop.files.torch_archive import open_torch_file
from motion_vit.interop.files.torch_pickle import Symbol

Source = str | os.PathLike[str] | Mapping[str, Any]

TORCH_SUFFIXES = (".pyth", ".pth", ".pt", ".bin")
"""Files of `torch.save`: `.pyth` in PySlowFast, and so of UniFormer and EMIM, `.bin` in transformers."""

FLAX_SUFFIX = ".msgpack"

_FLAX_NAME = re.compile(r"checkpoint(_\d+)?")
"""What `flax.training.checkpoints` calls its files."""

_WRAPPERS = ("model_state", "model", "state_dict", "model_state_dict", "module")
"""Entries under which training codes keep the weights, beside the optimizer and the epoch; "module" is DeepSpeed's."""

_AVERAGES = ("ema", "model_ema", "state_dict_ema", "ema_state_dict", "ema_state")
"""Entries of averages of the weights, which are taken where there is nothing else."""

_MOST_STATES = 10

_SAFETENSORS_DTYPES: Mapping[str, DTypeLike] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def describe_source(source: Source) -> str:
    """Names a source for messages: its path, or "the mapping"."""
    return "the mapping" if isinstance(source, Mapping) else os.fspath(source)


class StateDict(NamedTuple):
    """The weights of a source.

    Attributes:
      tensors: names to weights, which can be read while the source is open; floating-point weights are read as float32.
      prefix: prefix of all names in the source, which is removed in `tensors`.
      state: dotted name of the entry that holds them; "" where they lie at the top.
      other_states: names of other entries that hold weights.
    """

    tensors: Mapping[str, StoredTensor]
    prefix: str
    state: str = ""
    other_states: tuple[str, ...] = ()


@contextlib.contextmanager
def open_state_dict(source: Source, state: str | None = None) -> Iterator[StateDict]:
    """Opens the weights of a PyTorch model, or of one in the names of this library.

    Args:
      source: a path ending in `.pyth`, `.pth`, `.pt` or `.bin`, in `.safetensors`, in `.npz` or in `.msgpack` (Flax,
        also as `checkpoint_30`); or a mapping of names to arrays or tensors. The weights may lie under "model_state",
        "model", "state_dict", "model_state_dict" or "module", or averages of them alone under "ema" or "model_ema", and
        all names may begin alike; see `motion_vit.interop.files.name_prefixes`.
      state: the entry to take, such as "model_ema"; by default the weights rather than their averages.

    Yields:
      The weights, while the source is open.

    Raises:
      UserError: the file is missing, unreadable, not a checkpoint or holds more than weights; it has no weights.
        Reading a weight raises it, too.
    """
    where = describe_source(source)
    with contextlib.ExitStack() as stack:
        if isinstance(source, Mapping):
            yield _state_dict(source, state, where)
            return
        path = pathlib.Path(source)
        content, damage = _open_file(path, stack)
        found = _state_dict(content, state, where)
        tensors = {
            name: dataclasses.replace(tensor, read=_guarded(tensor.read, damage))
            for name, tensor in found.tensors.items()
        }
        yield found._replace(tensors=tensors)


def _state_dict(content: Any, state: str | None, where: str) -> StateDict:
    """Finds the weights in the content of a file."""
    if not isinstance(content, Mapping):
        raise UserError(
            f"{where} holds {_a(content)}, not a PyTorch state dict. Save the weights where they come from with "
            "torch.save(model.state_dict(), path)."
        )
    taken, entries, others = _choose_state(content, state, where)
    if not entries:
        raise UserError(f"{where} holds no weights. Expected the state dict of a PyTorch model.")
    for name, value in entries.items():
        if not isinstance(name, str) or not hasattr(value, "shape"):
            known = ", ".join((*_WRAPPERS, *_AVERAGES))
            advice = f" Weights are in {', '.join(others)}: --state {others[0]} takes them." if others else ""
            raise UserError(
                f"{where} holds no PyTorch state dict: its entry {name!r} is {_a(value)}, not an array. "
                f"Expected names and arrays, at the top or under one of {known}.{advice}"
            )
    tensors = {name: _as_stored(value) for name, value in entries.items()}
    prefix = uniform_prefix(tensors)
    return StateDict({without_prefix(name, prefix): tensor for name, tensor in tensors.items()}, prefix, taken, others)


def _choose_state(
    content: Mapping[str, Any], state: str | None, where: str
) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    """Finds the entry that holds the weights: its name, its content, and the names of others that hold weights."""
    taken: list[str] = []
    others: tuple[str, ...] = ()
    for _ in range(len(_WRAPPERS) + 1):  # a pickle may hold a mapping that holds itself
        states = [name for name, value in content.items() if _holds_weights(value)]
        if state is not None and not taken:
            if not isinstance(content.get(state), Mapping):
                there = f"It has {', '.join(map(repr, states[:_MOST_STATES]))}" if states else "It has no such entries"
                raise UserError(f"{where} has no entry {state!r} that could hold weights. {there}.")
            name: str | None = state
        else:
            name = next((known for known in _WRAPPERS if isinstance(content.get(known), Mapping)), None)
            if name is None and not _has_arrays(content):
                name = next((known for known in _AVERAGES if isinstance(content.get(known), Mapping)), None)
        if not taken or name is not None:
            others += tuple(".".join((*taken, other)) for other in states if other != name)
        if name is None:
            break
        taken.append(name)
        content = content[name]
    return ".".join(taken), content, others[:_MOST_STATES]


def _holds_weights(value: Any) -> bool:
    """Tells if an entry looks like weights, or like a mapping that has them in a known place."""
    if not isinstance(value, Mapping):
        return False
    return _has_arrays(value) or any(_has_arrays(value.get(name)) for name in (*_WRAPPERS, *_AVERAGES))


def _has_arrays(value: Any) -> bool:
    """Tells if the first values of a mapping are arrays; a hostile file may hold a long mapping many times."""
    return isinstance(value, Mapping) and any(hasattr(item, "shape") for item in itertools.islice(value.values(), 3))


def _a(value: Any) -> str:
    return value.name if isinstance(value, Symbol) else f"a {type(value).__name__}"


def _as_stored(value: Any) -> StoredTensor:
    """Wraps a value of a mapping or file as a weight; floating-point values are read as float32."""
    if isinstance(value, StoredTensor):
        return dataclasses.replace(value, read=lambda: _widen(value.read()))
    if hasattr(value, "detach"):  # a PyTorch tensor, recognised without importing PyTorch
        value = value.detach().cpu()
        # NumPy has no bfloat16 that PyTorch could hand over.
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    return StoredTensor(array.shape, array.dtype, lambda: _widen(array))


def _widen(array: np.ndarray) -> np.ndarray:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which the importer reports
        return array.astype(np.float32)


@contextlib.contextmanager
def _open_safetensors(path: pathlib.Path) -> Iterator[dict[str, StoredTensor]]:
    # Opening compares the header, which it reads, with the size of the file.
    with safetensors.safe_open(path, framework="np") as file:
        tensors = {}
        names = file.keys()
        for name in names:
            part = file.get_slice(name)
            if part.get_dtype() not in _SAFETENSORS_DTYPES:
                raise DamagedFileError(f"its tensor {name} is of dtype {part.get_dtype()}")
            dtype = np.dtype(_SAFETENSORS_DTYPES[part.get_dtype()])
            tensors[name] = StoredTensor(tuple(part.get_shape()), dtype, functools.partial(file.get_tensor, name))
        yield tensors


_Opener = Callable[[pathlib.Path], contextlib.AbstractContextManager[Any]]
_OPENERS: dict[str, tuple[_Opener, str]] = {
    **dict.fromkeys(TORCH_SUFFIXES, (open_torch_file, "a PyTorch checkpoint")),
    ".safetensors": (_open_safetensors, "a safetensors file"),
    ".npz": (open_npz, "an npz file of arrays"),
    FLAX_SUFFIX: (open_flax_file, "a msgpack file of Flax"),
}


def _open_file(path: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Any, "_Damage"]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
        raise UserError(f"the PyTorch weights {path} cannot be read: the path {what}. Give the path of a weights file.")
    # Flax gives its checkpoints no ending, but the number of a step.
    suffix = FLAX_SUFFIX if _FLAX_NAME.fullmatch(path.name) else path.suffix
    if suffix not in _OPENERS:
        raise UserError(f"the format of {path} is not known. Expected a file ending in {', '.join(_OPENERS)}.")
    opener, kind = _OPENERS[suffix]
    damage = _Damage(path, kind)
    with damage.reported():
        return stack.enter_context(opener(path)), damage


@dataclasses.dataclass(frozen=True)
class _Damage:
    """Reports errors of reading a file as `UserError`."""

    path: pathlib.Path
    kind: str

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        try:
            yield
        except MoreThanWeightsError as error:
            raise UserError(
                f"{self.path} is refused: it holds more than weights ({error}), and loading that could run code. "
                "Nothing in it was executed. If you trust its origin, save the weights alone there with "
                "torch.save(model.state_dict(), path)."
            ) from error
        except _READ_ERRORS as error:
            reason = (str(error).splitlines() or [""])[0]
            name = "" if isinstance(error, DamagedFileError) else f"{type(error).__name__}: "
            raise UserError(
                f"{self.path} cannot be read as {self.kind}: it is damaged, incomplete or something else "
                f"({name}{reason}). Check the file, or copy or download it again."
            ) from error


# What the readers of zip, deflate, npy and safetensors let through where bytes make no sense to them.
_READ_ERRORS = (
    DamagedFileError,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    safetensors.SafetensorError,
)


def _guarded(read: Callable[[], np.ndarray], damage: _Damage) -> Callable[[], np.ndarray]:
    def read_reported() -> np.ndarray:
        with damage.reported():
            return read()

    return read_reported
