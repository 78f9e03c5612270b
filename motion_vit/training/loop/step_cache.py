"""Keeps traced training steps between runs: a later start of the same recipe, by the same code, need not trace again.

A step is kept as StableHLO, the text that the compiler takes, by `jax.export`. Its name stands for all that it was
traced from: the recipe, the shapes and devices, JAX's settings, and the code. Of each file of code that was loaded,
path, size and time count, by which Python finds out whether a module is to be compiled again. Where any of these
differ, the step is traced. Data that the code of a plugin or a recipe reads, and its environment, are no part of it.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import os
import pathlib
import sys
from collections.abc import Sequence

import jax
from jax import export
from jax.sharding import NamedSharding

import motion_vit
from motion_vit.files.atomic_file import UnwritableError, make_folder, write_bytes
from motion_vit.files.regular_file import open_regular_file
from motion_vit.ops.platform import known_platform
from motion_vit.training.recipe.config import to_json
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState
from motion_vit.training.step.train_step import Batch, Metrics, TrainStep, compiled_step

_LIBRARY = pathlib.Path(motion_vit.__file__).parent
_SUFFIX = ".stablehlo"
# JAX promises to keep the calls of some libraries as they are. Others may change with its version, whose files count.
_ANY_CALL = (export.DisabledSafetyCheck.custom_call("ALL"),)
_CHECKSUM = hashlib.sha256
_REFUSED = b""  # is kept, too, so that a step that cannot be exported is not traced twice at the next start
_LARGEST = 2**28  # bytes; that of UniFormer-S with EMIM has 1.4 million
_MOST = 64  # steps that are kept, of which the longest unused are removed


@dataclasses.dataclass(frozen=True)
class StepCache:
    """A folder of traced steps, for a process whose code is all in files.

    A function that a notebook's cell puts in the place of one of the library's would not be noticed.

    Attributes:
      folder: need not exist.
      sources: files of code that no module was imported from, such as the recipe's.
      arguments: what that code was given, such as the ARG of `FILE:ARG`.
    """

    folder: pathlib.Path
    sources: tuple[pathlib.Path, ...] = ()
    arguments: tuple[str, ...] = ()

    def step(self, program: TrainingProgram) -> TrainStep:
        """Returns the step of a program, read from the folder, or traced and written there.

        Args:
          program: a recipe on its devices.

        Returns:
          The step. The program's own stays where it has teachers, where several processes train together, and on
          devices that are not of JAX's default backend. So it does where code has changed since it was loaded, and
          where `jax.export` refuses the step, such as for calls of Python.

        Raises:
          UserError: as `TrainingProgram.step` at its first call.
        """
        if not _may_be_kept(program):
            return program.step
        code, changed = _code(self.sources)
        if changed > motion_vit.LOADED_NS:
            return program.step
        path = self.folder / f"{self._name(program, code)}{_SUFFIX}"
        data = _read(path)
        if data is None:
            data = _exported(program)
            self._write(path, data)
        # What was just traced goes through the same bytes: the compiler's cache must find the same text later.
        return program.step if data == _REFUSED else _imported(data, program)

    def _name(self, program: TrainingProgram, code: Sequence[tuple[str, int, int]]) -> str:
        """Names all that a step is traced from."""
        arguments, structure = jax.tree.flatten((program.abstract_state(), program.abstract_batch()))
        devices = list(program.mesh.devices.flat)
        parts = (
            to_json(program.config),
            (program.clips_of_class, program.total_steps, program.steps_per_epoch),
            [(str(leaf), str(leaf.sharding)) for leaf in arguments],
            str(structure),
            [(each.platform, each.device_kind, each.id) for each in devices],
            (devices[0].client.platform_version, known_platform()),
            # As attributes, they are those of the context that is set.
            [(name, str(getattr(jax.config, name, value))) for name, value in sorted(jax.config.values.items())],
            (self.arguments, code),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _write(self, path: pathlib.Path, data: bytes) -> None:
        """Keeps a step, and removes the longest unused; a folder that cannot be written to only costs time later."""
        with contextlib.suppress(UnwritableError, OSError):
            make_folder(self.folder)
            write_bytes(path, _CHECKSUM(data).digest() + data)
            kept = sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
            for file in kept[:-_MOST]:
                file.unlink(missing_ok=True)


def _may_be_kept(program: TrainingProgram) -> bool:
    """Tells if a program's step is one that the recipe and the code decide, and that `jax.export` is made for."""
    if program.teachers:
        return False  # their networks are no part of the recipe
    if jax.process_count() > 1:
        return False  # all must run the same program, and one may find a kept step where another one traces
    # What is exported is for the default backend.
    return bool(program.mesh.devices.flat[0].platform == jax.default_backend())


def _code(sources: Sequence[pathlib.Path]) -> tuple[list[tuple[str, int, int]], int]:
    """Looks at the files of what the process has loaded, of the library whole, and at further ones.

    Args:
      sources: the further ones.

    Returns:
      Path, size and time of each, and when one of them last changed in any way, in nanoseconds.
    """
    loaded = (getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values()))
    paths = {path for path in loaded if isinstance(path, str)}
    paths.update(map(str, (*_LIBRARY.rglob("*.py"), *sources)))
    found, latest = [], 0
    for path in sorted(paths):
        try:
            state = os.stat(path)
        except OSError:  # of a module in an archive, which has a version of its own in its name
            found.append((path, -1, -1))
        else:
            found.append((path, state.st_size, state.st_mtime_ns))
            latest = max(latest, state.st_mtime_ns, state.st_ctime_ns)
    return found, latest


def _read(path: pathlib.Path) -> bytes | None:
    """Reads a step that was written whole, and notes that it is in use; None for any other file."""
    try:
        with open_regular_file(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST:
                return None
            content = file.read()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # in the cache of another user
        os.utime(path)
    size = _CHECKSUM().digest_size
    return content[size:] if _CHECKSUM(content[size:]).digest() == content[:size] else None


def _exported(program: TrainingProgram) -> bytes:
    """Traces a step and writes it as bytes, or `_REFUSED`."""
    structure = jax.tree.structure(program.state_shapes)
    # Options of the compiler are no part of what is kept, and JAX refuses them within another function.
    traceable = inspect.unwrap(program.step)

    def step(leaves: list[jax.Array], batch: Batch) -> tuple[list[jax.Array], Metrics]:
        state, metrics = traceable(jax.tree.unflatten(structure, leaves), batch)
        return jax.tree.leaves(state), metrics

    arguments = jax.tree.leaves(program.abstract_state()), program.abstract_batch()
    try:
        compiled = jax.jit(step, donate_argnums=0, out_shardings=(jax.tree.leaves(program.state_sharding), None))
        exported = export.export(compiled, disabled_checks=_ANY_CALL)(*arguments)
        data = bytes(exported.serialize())
    except (ValueError, RuntimeError):  # with calls of Python, or of libraries that keep Python's objects
        return _REFUSED
    return data if len(data) < _LARGEST else _REFUSED


def _imported(data: bytes, program: TrainingProgram) -> TrainStep:
    """Makes a step of what `_exported` gave."""
    exported = export.deserialize(bytearray(data))
    structure = jax.tree.structure(program.state_shapes)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        leaves, metrics = exported.call(jax.tree.leaves(state), batch)
        return jax.tree.unflatten(structure, leaves), metrics

    shardings: dict[str, NamedSharding] = jax.tree.map(lambda leaf: leaf.sharding, program.abstract_batch())
    return compiled_step(step, program.state_sharding, shardings, program.mesh)
