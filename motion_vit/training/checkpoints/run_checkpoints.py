"""Checkpoints of a run: state, data position, label names and recipe. The only file that uses Orbax.

A checkpoint is written in the background into a temporary folder, which is renamed when it is complete, and renamed
again before it is deleted. Whenever a run is killed, a folder with the name of a checkpoint is complete. Checksums of
its files are computed in the background too, before that name is given, and compared before anything is restored. With
several processes, each writes the data of its devices into a folder that all of them see, and all must call the same
functions.
"""

import contextlib
import functools
import os
import pathlib
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, get_args

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from jax.sharding import Mesh
from orbax.checkpoint import checkpoint_managers

from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.models.options import options_by_effect, with_options
from motion_vit.training.checkpoints.checksums import write_checksums
from motion_vit.training.checkpoints.errors import (
    CheckpointWriteError,
    WithoutRepeatedErrors,
    check_intact,
    check_same_model,
    read_errors,
    write_errors,
)
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun, classifies_nothing
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.checkpoints.validation_rank import validation_rank
from motion_vit.training.checkpoints.weight_dtypes import check_finite
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import VISIBLE_SECONDS, SharedError, errors_together, gather, is_primary
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import config_from_dict
from motion_vit.training.recipe.validation_metric import ValidationMetric
from motion_vit.training.step.objective_registry import trace_network
from motion_vit.training.step.state import TrainState

CHECKPOINTS_FOLDER = "checkpoints"
_DELETED_FOLDER = "deleted"
_METRICS = "metrics"
# Beside what was measured: by which of it the run ranks its checkpoints.
_RANKED_BY = "ranked_by"
_UNFINISHED = f"*{ocp.utils.TMP_DIR_SUFFIX}*"
_DELETED = f"{_DELETED_FOLDER}/*"
# Devices that hold the same array share the work of writing it only if the part of each has so many bytes: Orbax
# compiles a program for every part that it cuts off, while training waits.
_SMALLEST_SLICE = 2**20


class Restored(NamedTuple):
    """A checkpoint restored for training.

    Attributes:
      state: parameters, optimizer and counters, on their devices.
      data_state: position of the data iterator.
      description: of `run_description.describe`, when the checkpoint was written.
    """

    state: TrainState
    data_state: dict[str, Any]
    description: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run. A context manager: leaving it waits for pending writes.

    Args:
      workdir: folder of the run; checkpoints are in its folder `checkpoints`.
      keep: number of latest checkpoints to keep, besides the best one.
      best_metric: what the best one is best in.

    Raises:
      UserError: the folder cannot be created.
    """

    def __init__(self, workdir: pathlib.Path, keep: int, best_metric: ValidationMetric = "top1") -> None:
        rank = functools.partial(validation_rank, metric=best_metric)
        self._folder = workdir / CHECKPOINTS_FOLDER
        self._best_metric = best_metric
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(keep),
                checkpoint_managers.BestN(get_metric_fn=rank, n=1),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            best_fn=rank,
            todelete_subdir=_DELETED_FOLDER,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_checksums),
        )
        self._saving: int | None = None
        self._deleting = ThreadPoolExecutor(1, thread_name_prefix="delete_checkpoints")
        self._quiet = contextlib.ExitStack()
        _check_metrics(self._folder)
        with write_errors(self._folder, self.saved_steps):
            self._manager = _open(self._folder, options)
        for left_by_a_killed_run in (_UNFINISHED, _DELETED):
            self._remove(left_by_a_killed_run)

    def __enter__(self) -> "Checkpoints":
        """Silences repeated errors of Orbax; the folder is already open."""
        self._quiet.enter_context(WithoutRepeatedErrors())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits for pending writes, unless an error occurred.

        Raises:
          UserError: a checkpoint could not be written.
        """
        if kind is None:
            with write_errors(self._folder, self.saved_steps):
                self._manager.close()
            self._deleting.shutdown()
            self._remove(_DELETED_FOLDER)
        elif jax.process_count() == 1 or issubclass(kind, SharedError):
            with contextlib.suppress(OSError, ValueError):  # the first error is the one to tell
                self._manager.close()
        # After an error of one of several processes, closing would wait for others that do not come here.
        if kind is None or not issubclass(kind, CheckpointWriteError):
            self._quiet.close()
        # After a failed write it stays quiet: other writes that were under way fail later.

    def latest_step(self) -> int | None:
        """Returns the step of the latest checkpoint, which may be still being written; None if there is none."""
        return self._manager.latest_step()

    def agree_on_latest_step(self) -> int | None:
        """Returns the step of the latest checkpoint that any process sees; every process must call it.

        A network file system may delay showing one machine the files of another.

        Returns:
          The step, None if there is none. All processes see its checkpoint.

        Raises:
          UserError: a process does not see it within a minute; all processes raise it.
        """
        step = max((step for step in gather(self.latest_step()) if step is not None), default=None)
        with errors_together():
            end = time.monotonic() + VISIBLE_SECONDS
            while step is not None and step not in self._manager.all_steps():
                if time.monotonic() > end:
                    raise UserError(
                        f"the checkpoint {self._folder.absolute() / str(step)} is not seen here, but by another "
                        "process. Give a --workdir on a file system that all machines of the run share."
                    )
                time.sleep(0.5)
                self._manager.reload()
        return step

    def saved_steps(self) -> list[int]:
        """Returns the steps of complete checkpoints, rising."""
        return steps_on_disk(self._folder)

    def save(
        self,
        state: TrainState,
        data_state: dict[str, Any],
        description: dict[str, Any],
        validation: dict[str, Any] | None = None,
    ) -> None:
        """Writes a checkpoint in the background, unless there is one of this step.

        Args:
          state: the state; may be donated to the next step as soon as this returns.
          data_state: position of the data iterator, as JSON.
          description: label names, recipe and library version, as JSON.
          validation: what was measured, if the state was just evaluated.

        Raises:
          UserError: this checkpoint or the previous one could not be written.
        """
        step = int(jax.device_get(state.step))
        if step == self.latest_step():
            return
        items = {
            "variables": ocp.args.PyTreeSave(state.variables),
            "optimizer": ocp.args.PyTreeSave(_optimizer_item(state)),
            "data": ocp.args.JsonSave(data_state),
            "description": ocp.args.JsonSave({**description, "step": step}),
        }
        if state.ema:
            items["averages"] = ocp.args.PyTreeSave({"params": state.averaged_variables["params"]})
        with write_errors(self._folder, self.saved_steps):
            self._manager.wait_until_finished()
            self._deleting.submit(self._remove, _DELETED)
            self._saving = step
            metrics = {**validation, _RANKED_BY: self._best_metric} if validation else {}
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def latest_validation(self) -> dict[str, Any]:
        """Returns what was measured at the latest validation that was stored with a checkpoint; {} without one."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            if metrics := self._manager.metrics(step):
                return dict(metrics)
        return {}

    def wait(self) -> None:
        """Waits for pending writes.

        Raises:
          UserError: a checkpoint could not be written.
        """
        with write_errors(self._folder, self.saved_steps):
            self._manager.wait_until_finished()

    def restore(self, template: TrainState, step: int | None = None) -> Restored:
        """Restores a checkpoint, whatever devices and processes wrote it.

        Args:
          template: shapes and devices of the state, of `TrainingProgram.abstract_state`.
          step: step of the checkpoint, by default the latest.

        Returns:
          State, data position and description.

        Raises:
          UserError: the checkpoint belongs to another model, or cannot be read.
        """
        self._manager.wait_until_finished()
        if step is None:
            step = self._manager.latest_step()
        if step is None:
            raise UserError(f"there is no checkpoint in {self._folder}.")
        items = {
            "variables": ocp.args.StandardRestore(template.variables),
            "optimizer": ocp.args.StandardRestore(_optimizer_item(template)),
            "data": ocp.args.JsonRestore(),
            "description": ocp.args.JsonRestore(),
        }
        if template.ema:
            items["averages"] = ocp.args.StandardRestore({"params": template.averaged_variables["params"]})
        check_intact(self._folder, step, self.saved_steps())
        with _read_errors(self._manager, step):
            _check_same_model(self._manager, step, template.variables)
            _check_continues(self._manager, step)
            found = self._manager.restore(step, args=ocp.args.Composite(**items))
        count = jax.device_put(np.asarray(step, np.int32), template.step.sharding)
        beside = found["optimizer"].get("beside_model", {})
        state = TrainState(
            step=count,
            params={**found["variables"]["params"], **beside.get("params", {})},
            batch_stats=found["variables"]["batch_stats"],
            opt_state=found["optimizer"]["opt_state"],
            ema={**found["averages"]["params"], **beside.get("ema", {})} if template.ema else {},
            key=jax.random.wrap_key_data(found["optimizer"]["key"]),
        )
        return Restored(state, found["data"], found["description"])

    def _write_checksums(self) -> None:
        """Completes the checkpoint that is being written, before Orbax gives it its name."""
        if is_primary():
            for folder in self._folder.glob(f"{self._saving}{ocp.utils.TMP_DIR_SUFFIX}*"):
                write_checksums(folder)

    def _remove(self, pattern: str) -> None:
        """Removes folders that are no complete checkpoints."""
        if jax.process_index() == 0:
            for folder in self._folder.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)


def load_for_inference(
    folder: str | os.PathLike[str], *, which: Which = "last", ema: bool | None = None, mesh: Mesh | None = None
) -> TrainedModel:
    """Builds the model of a run's checkpoint and loads its variables. `load_trained` also takes weights folders.

    Args:
      folder: the workdir of a run.
      which: the last checkpoint, or the one of best validation accuracy; they are the same without a validation list.
      ema: whether to load the averages of the parameters; the recipe's `evaluation.ema` by default.
      mesh: devices that hold the variables, all by default.

    Returns:
      Model, variables, label names and recipe.

    Raises:
      UserError: there is no checkpoint, it has no averages, or the model of this library version has other parameters;
        or the run was pretrained and is no classifier.
    """
    run = load_run(folder, which=which, ema=ema, mesh=mesh)
    if isinstance(run, PretrainedRun):
        raise classifies_nothing(pathlib.Path(folder))
    return run


def load_run(
    folder: str | os.PathLike[str], *, which: Which = "last", ema: bool | None = None, mesh: Mesh | None = None
) -> TrainedModel | PretrainedRun:
    """Builds the network of a run's checkpoint, whatever it was trained for, and loads its variables.

    Args:
      folder: as for `load_for_inference`, and all others, too.
      which: likewise.
      ema: likewise.
      mesh: likewise.

    Returns:
      A classifier, or what was pretrained.

    Raises:
      UserError: there is no checkpoint, it has no averages, or the network of this library version has other
        parameters.
    """
    path = pathlib.Path(folder)
    root = path / CHECKPOINTS_FOLDER
    if not root.is_dir():
        raise UserError(
            f"there is no checkpoint in {path}. Give the --workdir of a `motion-vit train` run, "
            f"which has a folder {CHECKPOINTS_FOLDER}."
        )
    steps = steps_on_disk(root)
    if not steps:
        raise UserError(f"there is no finished checkpoint in {root}; the run has not saved one yet.")
    if which == "best":
        _check_metrics(root)
    with contextlib.ExitStack() as stack:
        with read_errors(root, steps[-1], steps):
            manager = stack.enter_context(_open(root, ocp.CheckpointManagerOptions(create=False)))
            step = _best_step(manager, steps) if which == "best" else steps[-1]
        check_intact(root, step, steps)
        with _read_errors(manager, step):
            items = {"description": ocp.args.JsonRestore()}
            description = manager.restore(step, args=ocp.args.Composite(**items))["description"]
            label_names = tuple(description["label_names"])
            config = config_from_dict(description["config"])
        validate_fields(config)  # what a file of a checkpoint holds is not trusted to be what was trained with
        ema = config.evaluation.ema if ema is None else ema
        # What was fast where it was trained may be slow here, or not run at all.
        traced = trace_network(config, len(label_names))
        model = with_options(traced.model, options_by_effect(traced.model, "implementation"))
        target = _replicated(traced.shapes, meshes.data_mesh() if mesh is None else mesh)
        items = {"variables": ocp.args.StandardRestore(target)}
        if ema:
            if not config.ema:
                raise UserError(
                    f"the run in {path} keeps no averages of its parameters: its config field ema is empty. "
                    "Take the parameters themselves."
                )
            items["averages"] = ocp.args.StandardRestore({"params": target["params"]})
        with _read_errors(manager, step):
            _check_same_model(manager, step, target)
            found = manager.restore(step, args=ocp.args.Composite(**items))
    variables = {**found["variables"], **(found["averages"] if ema else {})}
    arrays = traverse_util.flatten_dict(variables, sep="/")
    check_finite({name: np.asarray(array) for name, array in arrays.items()}, str(root / str(step)))
    # Runs of earlier versions do not say it.
    rate = float(description.get("frame_rate", 0.0))
    if config.objective != "classification":
        return PretrainedRun(model, variables, label_names, config, step, averaged=ema)
    return TrainedModel(model, variables, label_names, config, step, averaged=ema, frame_rate=rate)


def steps_on_disk(folder: pathlib.Path) -> list[int]:
    """Lists the complete checkpoints of a run.

    Args:
      folder: of the checkpoints, which need not exist.

    Returns:
      Their steps, rising.

    Raises:
      OSError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)  # unlike `glob`, which passes over a folder that it may not read
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def _best_step(manager: ocp.CheckpointManager, steps: Sequence[int]) -> int:
    """Finds the best of some checkpoints by the metric that the run ranked the latest of them by."""
    measured: dict[int, dict[str, Any]] = {step: manager.metrics(step) or {} for step in steps}
    ranked_by = [metrics[_RANKED_BY] for metrics in measured.values() if _RANKED_BY in metrics]
    metric: ValidationMetric = next((name for name in get_args(ValidationMetric) if name in ranked_by[-1:]), "top1")
    return max(steps, key=lambda step: (validation_rank(measured[step], metric), step))


def _check_metrics(folder: pathlib.Path) -> None:
    """Checks the accuracies that are stored with checkpoints, which Orbax reads of all of them at once."""
    steps = steps_on_disk(folder)
    for step in steps:
        check_intact(folder, step, steps, within=f"{_METRICS}/")
        metrics = folder / str(step) / _METRICS / _METRICS
        with errors_together(), read_errors(folder, step, steps):
            if metrics.exists() and not isinstance(read_json(metrics), dict):
                raise ValueError(f"{_METRICS}/{_METRICS} holds no metrics")


def _open(folder: pathlib.Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
    arrays = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=_SMALLEST_SLICE)
    types = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
    save, restore = ocp.PyTreeCheckpointHandler(type_handler_registry=types), ocp.StandardCheckpointHandler()
    for item in ("variables", "optimizer", "averages"):
        handlers.add(item, ocp.args.PyTreeSave, save)
        handlers.add(item, ocp.args.StandardRestore, restore)
    for item in ("data", "description"):
        handlers.add(item, ocp.args.JsonSave, ocp.JsonCheckpointHandler())
        handlers.add(item, ocp.args.JsonRestore, ocp.JsonCheckpointHandler())
    return ocp.CheckpointManager(folder.resolve(), options=options, handler_registry=handlers)


def _optimizer_item(state: TrainState) -> dict[str, Any]:
    """Selects the parts of a state, or of its shapes, that only training needs. Random keys are written as numbers."""
    beside = {"beside_model": state.beside_model} if state.beside_model else {}
    return {"opt_state": state.opt_state, "key": _key_data(state.key), **beside}


def _key_data(key: Any) -> Any:
    if not isinstance(key, jax.ShapeDtypeStruct):
        return jax.random.key_data(key)
    data = jax.eval_shape(jax.random.key_data, key)
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=key.sharding)


def _replicated(shapes: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
    """Returns shapes of variables, replicated on every device."""
    sharding = meshes.replicated(mesh)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)


def _read_errors(manager: ocp.CheckpointManager, step: int) -> contextlib.AbstractContextManager[None]:
    return read_errors(pathlib.Path(manager.directory), step, manager.all_steps())


def _saved_tree(manager: ocp.CheckpointManager, step: int, item: str) -> Any:
    """Reads names and shapes of a checkpoint's arrays.

    Raises:
      ValueError: the file that lists them is missing.
    """
    metadata = manager.item_metadata(step).get(item)
    if metadata is None:
        raise ValueError(f"it has no file {item}/_METADATA")
    return metadata.tree


def _check_same_model(manager: ocp.CheckpointManager, step: int, expected: Any) -> None:
    found = _saved_tree(manager, step, "variables")
    check_same_model(found, expected, f"the checkpoint of step {step} in {manager.directory}")


def _check_continues(manager: ocp.CheckpointManager, step: int) -> None:
    """Checks that a checkpoint has everything that continuing takes; older library versions kept less."""
    if "key" not in _saved_tree(manager, step, "optimizer"):
        raise UserError(
            f"the run in {manager.directory.parent} was started by an older version of motion_vit, whose checkpoints "
            "do not have all that training goes on with. Evaluate and use it; to train, give another --workdir."
        )
