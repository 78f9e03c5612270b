"""Keeps traced training steps between runs: a later start of the same recipe, by the same code, need not trace again.

A step is kept as StableHLO, the text that the compiler takes, by `jax.export`. Its name stands for all that it was
traced from: the recipe, the shapes and devices, JAX's settings, and the code. Of each file of code that was loaded,
path, size and time count, by which Python finds out whether a module is to be compiled again. Where any of these
differ, the step is traced.
"""

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
from motion_vit.training.recipe.config import to_json
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState
from motion_vit.training.step.train_step import Batch, Metrics, TrainStep, compiled_step

_LIBRARY = pathlib.Path(motion_vit.__file__).parent
_SUFFIX = ".stablehlo"
# Calls of other libraries, such as cuDNN, may change with their version. It is a part of the name.
_ANY_CALL = (export.DisabledSafetyCheck.custom_call("ALL"),)
_CHECKSUM = hashlib.sha256
_LARGEST = 2**28  # bytes; that of UniFormer-S has 4 million
_MOST = 64  # steps that are kept, of which the longest unused are removed


@dataclasses.dataclass(frozen=True)
class StepCache:
    """A folder of traced steps, for a process whose code is all in files.

    A function that a notebook's cell puts in the place of one of the library's would not be noticed.

    Attributes:
      folder: need not exist.
      sources: files of code that no module was imported from, such as the recipe's.
    """

    folder: pathlib.Path
    sources: tuple[pathlib.Path, ...] = ()

    def step(self, program: TrainingProgram) -> TrainStep:
        """Returns the step of a program, read from the folder, or traced and written there.

        Args:
          program: a recipe on its devices.

        Returns:
          The step. One with teachers, whose networks are no part of the recipe, and one that
          cannot be exported, such as with calls of Python, stay the program's own.

        Raises:
          UserError: as `TrainingProgram.step` at its first call.
        """
        if program.teachers:
            return program.step
        path = self.folder / f"{self._name(program)}{_SUFFIX}"
        if (data := _read(path)) is not None:
            return _imported(data, program)
        data = _exported(program)
        if data is None:
            return program.step
        self._write(path, data)
        # Through what was written, although a step was just traced: the compiler's cache must find the same text later.
        return _imported(data, program)

    def _name(self, program: TrainingProgram) -> str:
        """Names all that a step is traced from."""
        arguments, structure = jax.tree.flatten((program.abstract_state(), program.abstract_batch()))
        devices = list(program.mesh.devices.flat)
        client = devices[0].client
        parts = (
            to_json(program.config),
            (program.clips_of_class, program.total_steps, program.steps_per_epoch),
            [(str(leaf), str(leaf.sharding)) for leaf in arguments],
            str(structure),
            [(each.platform, each.device_kind, each.id) for each in devices],
            (client.platform_version, jax.process_count()),
            sorted((name, str(value)) for name, value in jax.config.values.items()),
            _code(self.sources),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _write(self, path: pathlib.Path, data: bytes) -> None:
        """Keeps a step, and removes the longest unused; a folder that cannot be written to only costs time later."""
        try:
            make_folder(self.folder)
            write_bytes(path, _CHECKSUM(data).digest() + data)
            kept = sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
            for file in kept[:-_MOST]:
                file.unlink(missing_ok=True)
        except (UnwritableError, OSError):
            return


def _code(sources: Sequence[pathlib.Path]) -> list[tuple[str, int, int]]:
    """Lists path, size and time of what the process has loaded, of the library whole, and of further files."""
    loaded = (getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values()))
    paths = {path for path in loaded if isinstance(path, str)}
    paths.update(map(str, (*_LIBRARY.rglob("*.py"), *sources)))
    found = []
    for path in sorted(paths):
        try:
            state = os.stat(path)
        except OSError:  # of a module in an archive, which has a version of its own in its name
            found.append((path, -1, -1))
        else:
            found.append((path, state.st_size, state.st_mtime_ns))
    return found


def _read(path: pathlib.Path) -> bytes | None:
    """Reads a step that was written whole, and notes that it is in use; None for any other file."""
    try:
        with open_regular_file(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST:
                return None
            content = file.read()
        os.utime(path)
    except OSError:
        return None
    size = _CHECKSUM().digest_size
    return content[size:] if _CHECKSUM(content[size:]).digest() == content[:size] else None


def _exported(program: TrainingProgram) -> bytes | None:
    """Traces a step and writes it as bytes; None of one that `jax.export` refuses, such as with calls of Python."""
    if program.mesh.devices.flat[0].platform != jax.default_backend():
        return None  # what it exports is for the default backend
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
        return bytes(exported.serialize())
    except (ValueError, NotImplementedError):
        return None


def _imported(data: bytes, program: TrainingProgram) -> TrainStep:
    """Makes a step of what `_exported` gave."""
    exported = export.deserialize(bytearray(data))
    structure = jax.tree.structure(program.state_shapes)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        leaves, metrics = exported.call(jax.tree.leaves(state), batch)
        return jax.tree.unflatten(structure, leaves), metrics

    shardings: dict[str, NamedSharding] = jax.tree.map(lambda leaf: leaf.sharding, program.abstract_batch())
    return compiled_step(step, program.state_sharding, shardings, program.mesh)
