"""Parses PyTorch pickles as data: names, numbers and tensors; nothing in them is called.

Python's `pickle` is a program for a small machine that imports and calls what it likes. PyTorch's own weights-only
loader is stricter, but it still allocates what a file tells it to (`bytearray`), and can be made to hash nested keys
for a long time (tried with PyTorch 2.13). A state dict needs few of the instructions. They are interpreted here, as
`pickletools` finds them, with symbols in the place of functions; every other instruction or name is an error.

Time and memory are bounded by the length of the pickle: only short texts of a file are hashed, compared or printed.
Numbers can be chosen such that all have one hash (multiples of 2**61 - 1), and then a dictionary of them takes the
square of their count. A tuple that holds one tuple twice, and so on, doubles the time with each level.
"""

import dataclasses
import io
import math
import pickletools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from motion_vit.interop.files.stored_tensor import DamagedFileError, MoreThanWeightsError, Shape, StoredTensor

LARGEST_PICKLE = 2 * 2**20
"""Bytes. A checkpoint with its optimizer takes about 500 for each weight. The worst of such length takes seconds and
about 150 mebibytes."""

_LONGEST_NAME = 100
_LONGEST_KEY = 1000
"""Letters of a name in a mapping: of two equal texts, every letter is compared each time that one meets the other."""
_MOST_AXES = 32

_DTYPES: Mapping[str, DTypeLike] = {
    "Float": np.float32,
    "Double": np.float64,
    "Half": np.float16,
    "BFloat16": jnp.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
_REBUILD_TENSOR = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_REBUILD_PARAMETER = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_STORAGE = re.compile(r"torch(?:\.cuda)?\.(\w+)Storage")

_HARMLESS = re.compile(
    r"torch\.(\w+Storage|cuda\.\w+Storage|Size|device|u?int\d+|b?float\d+|double|half|long|bool)"
    r"|torch\._utils\._rebuild_\w+|torch\.serialization\._get_layout|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter"
    r"|collections\.(OrderedDict|defaultdict|Counter)|argparse\.Namespace|pathlib\.(Posix|Windows)Path"
    r"|numpy\.(dtype|ndarray)|numpy\._?core\.multiarray\.(scalar|_reconstruct)|_codecs\.encode"
    r"|(yacs|fvcore\.common)\.config\.CfgNode|(builtins|__builtin__)\.(set|int|float|list|dict)"
)
"""What training codes put beside the weights. It is left out, and so may be named; anything else is refused."""


@dataclasses.dataclass(frozen=True)
class Symbol:
    """An object that a pickle refers to by name, or would make by a call.

    Attributes:
      name: module and name, such as `torch.FloatStorage`.
    """

    name: str


@dataclasses.dataclass(frozen=True)
class Storage:
    """The numbers behind one or more tensors.

    Attributes:
      key: its name in the file.
      dtype: dtype of its entries.
      size: number of entries that the pickle claims.
    """

    key: str
    dtype: np.dtype
    size: int


ReadStorage = Callable[[Storage], np.ndarray]
"""Reads the numbers of a storage, all of them, as one axis."""


_MARK = object()
"""Where a list of items begins on the stack."""

_ABSENT = object()
"""What is remembered at places where nothing is kept."""


def read_pickle(stream: io.BytesIO, read_storage: ReadStorage) -> tuple[Any, dict[str, Storage]]:
    """Parses one pickle, from the position of a stream.

    Args:
      stream: bytes of at most `LARGEST_PICKLE`; it is left after the pickle.
      read_storage: reads the numbers behind a tensor. It is only called when a tensor is read.

    Returns:
      The saved object: mappings, lists, tuples, numbers and text, `StoredTensor` for tensors, `Symbol` for everything
      else. Mappings keep only named entries: other keys, such as the numbers in the state of an optimizer, are dropped.
      And the storages that it refers to, by key.

    Raises:
      MoreThanWeightsError: the pickle names an object that no checkpoint of weights needs.
      DamagedFileError: the pickle is cut off, or not one that `torch.save` writes.
    """
    machine = _Machine(read_storage)
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            machine.run(instruction.name, argument)
        return machine.pop(), machine.storages
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        # The stack or memo lacks what an instruction takes, or `pickletools` finds no instruction.
        raise DamagedFileError(f"its pickle is not one of torch.save ({error})") from error


class _Machine:
    """The stack machine of `pickle`, reduced to what a state dict needs."""

    def __init__(self, read_storage: ReadStorage) -> None:
        self.storages: dict[str, Storage] = {}
        self._read_storage = read_storage
        self._stack: list[Any] = []
        # In a dictionary, numbers that the file chooses could all have one hash.
        self._memo: list[Any] = []

    def pop(self) -> Any:
        return self._stack.pop()

    def run(self, name: str, argument: Any) -> None:
        """Runs one instruction, by its name in `pickletools`."""
        if name in _LITERALS:
            self._stack.append(_CONSTANTS.get(name, argument))
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._remember(argument)
        elif name == "MEMOIZE":
            self._remember(len(self._memo))
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._recall(argument))
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name in ("GLOBAL", "INST"):
            self._stack.append(_symbol(*argument.split(" ")))
        elif name not in _WITHOUT_EFFECT:
            raise ValueError(f"instruction {name}")

    def _remember(self, place: int) -> None:
        """Memoizes the top of the stack; picklers number memos from 0 or 1 on."""
        if not 0 <= place < LARGEST_PICKLE:
            raise ValueError("a value is kept at a place that no pickler gives")
        self._memo.extend([_ABSENT] * (place + 1 - len(self._memo)))
        self._memo[place] = self._stack[-1]

    def _recall(self, place: int) -> Any:
        value = self._memo[place] if 0 <= place < len(self._memo) else _ABSENT
        if value is _ABSENT:
            raise ValueError("a value is taken that was not kept")
        return value

    def items(self) -> list[Any]:
        """Pops everything above the last mark, and the mark."""
        taken = []
        while (value := self._stack.pop()) is not _MARK:
            taken.append(value)
        return taken[::-1]

    def take(self, count: int) -> list[Any]:
        """Pops the top values, in the order in which they were pushed."""
        return [self._stack.pop() for _ in range(count)][::-1]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def drop(self) -> None:
        """Drops the top of the stack."""
        self._stack.pop()

    def call(self, function: Symbol, arguments: Any) -> None:
        """Pushes the result of calling a function, for functions that make up a state dict."""
        if function.name == "collections.OrderedDict" and not arguments:
            self._stack.append({})
        elif function.name in _REBUILD_TENSOR:
            self._stack.append(_tensor(self._read_storage, *arguments[:4]))
        elif function.name in _REBUILD_PARAMETER:
            self._stack.append(arguments[0])
        else:
            self._stack.append(function)

    def refer(self, reference: Any) -> None:
        """Pushes the storage of a persistent id."""
        storage = _storage(reference)
        if self.storages.setdefault(storage.key, storage).dtype != storage.dtype:
            raise ValueError("a storage of two types")
        self._stack.append(storage)

    def append(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], dict):
            pairs = zip(values[::2], values[1::2], strict=True)
            # Weights have names, and looking up other keys may take as long as their maker likes.
            self._stack[-1].update((key, value) for key, value in pairs if _is_text(key, _LONGEST_KEY))


def _is_text(value: Any, longest: int) -> bool:
    """Tells if a value is a text that is short enough to be hashed and compared."""
    return isinstance(value, str) and len(value) <= longest


def _symbol(module: Any, name: Any) -> Symbol:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("an object without a name")
    if len(module) + len(name) > _LONGEST_NAME:
        raise ValueError("an object with a name of many letters")
    whole = f"{module}.{name}"
    if not _HARMLESS.fullmatch(whole):
        raise MoreThanWeightsError(whole)
    return Symbol(whole)


def _storage(reference: Any) -> Storage:
    """Parses a persistent id: kind, type, key, device and size of a storage, and in old files its base storage."""
    kind, storage_type, key, _, size, *view = reference
    found = _STORAGE.fullmatch(storage_type.name)
    if kind != "storage" or found is None or found[1] not in _DTYPES or view not in ([], [None]):
        raise ValueError("a storage of unknown type")
    if not _is_text(key, _LONGEST_NAME) or not isinstance(size, int) or size < 0:
        raise ValueError("a storage without name or size")
    return Storage(key, np.dtype(_DTYPES[found[1]]), size)


def _tensor(read_storage: ReadStorage, storage: Storage, offset: int, shape: Shape, strides: Shape) -> StoredTensor:
    """Makes a strided view of a storage, within its bounds."""
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise ValueError("a tensor without shape")
    if not all(isinstance(number, int) and number >= 0 for number in (offset, *shape, *strides)):
        raise ValueError("a tensor without shape")
    steps = (stride * (size - 1) for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and offset + sum(steps) >= storage.size:
        raise DamagedFileError(f"a tensor of shape {shape} reaches beyond the {storage.size} numbers it is made of")

    def read() -> np.ndarray:
        numbers = read_storage(storage)[offset:]
        return np.lib.stride_tricks.as_strided(
            numbers, shape, [stride * numbers.itemsize for stride in strides], writeable=False
        )

    return StoredTensor(shape, storage.dtype, read)


_LITERALS = {
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("INT", "LONG", "FLOAT", "STRING", "UNICODE"),
}
_CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False}
_SET = Symbol("builtins.set")
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: _SET,
    "MARK": lambda: _MARK,
}
_WITHOUT_EFFECT = {"PROTO", "FRAME", "STOP"}
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "TUPLE": lambda machine: machine.push(tuple(machine.items())),
    "TUPLE1": lambda machine: machine.push(tuple(machine.take(1))),
    "TUPLE2": lambda machine: machine.push(tuple(machine.take(2))),
    "TUPLE3": lambda machine: machine.push(tuple(machine.take(3))),
    "APPEND": lambda machine: machine.append(machine.take(1)),
    "APPENDS": lambda machine: machine.append(machine.items()),
    "SETITEM": lambda machine: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine: machine.set_items(machine.items()),
    "ADDITEMS": lambda machine: machine.append(machine.items()),
    "STACK_GLOBAL": lambda machine: machine.push(_symbol(*machine.take(2))),
    "REDUCE": lambda machine: machine.call(*machine.take(2)),
    "NEWOBJ": lambda machine: machine.call(*machine.take(2)),
    # The state of an object, such as the `_metadata` of a state dict.
    "BUILD": lambda machine: machine.drop(),
    "BINPERSID": lambda machine: machine.refer(machine.pop()),
}
