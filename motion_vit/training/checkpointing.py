"""Checkpoints on disk: state, data position, label names and recipe. The only file that knows Orbax."""

import importlib.metadata
import json
import os
import pathlib
from typing import Any, Literal, NamedTuple

import jax
import orbax.checkpoint as ocp
from flax import linen as nn
from flax import traverse_util
from jax.sharding import Mesh
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers

from motion_vit.data.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.training import mesh as meshes
from motion_vit.training.config import config_from_dict, to_json
from motion_vit.training.config_validation import build_model
from motion_vit.training.train_state import TrainState

CHECKPOINTS_FOLDER = "checkpoints"
_SHOWN_DIFFERENCES = 8

Which = Literal["last", "best"]


class Restored(NamedTuple):
    """A checkpoint read back for training.

    Attributes:
      state: the state.
      data_state: position of the data iterator.
      description: what `describe` said when it was written.
    """

    state: TrainState
    data_state: dict[str, Any]
    description: dict[str, Any]


class TrainedModel(NamedTuple):
    """A checkpoint read back for inference.

    Attributes:
      model: the model.
      variables: its parameters and running statistics.
      label_names: the name of each class, in the order of the logits.
      config: the recipe that it was trained with.
      step: training steps behind it.
    """

    model: nn.Module
    variables: dict[str, Any]
    label_names: tuple[str, ...]
    config: ConfigDict
    step: int


class Checkpoints:
    """The checkpoints of a run. A context manager: leaving it waits for the one that is being written.

    Args:
      workdir: folder of the run; checkpoints are in its folder `checkpoints`.
      keep: how many of the latest to keep, besides the one of best validation accuracy.
    """

    def __init__(self, workdir: pathlib.Path, keep: int) -> None:
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(keep),
                checkpoint_managers.BestN(get_metric_fn=_top1, n=1),
            ]
        )
        self._manager = _open(
            workdir / CHECKPOINTS_FOLDER,
            ocp.CheckpointManagerOptions(preservation_policy=policy, best_fn=_top1),
        )

    def __enter__(self) -> "Checkpoints":
        """Nothing: the folder is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what is being written."""
        self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the latest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        data_state: dict[str, Any],
        description: dict[str, Any],
        validation: dict[str, float] | None = None,
    ) -> None:
        """Writes a checkpoint in the background, unless there is one of this step.

        Args:
          state: the state; may be given up to the next step as soon as this returns.
          data_state: position of the data iterator, as JSON.
          description: label names, recipe and library version, as JSON.
          validation: metrics with the key `top1`, if the state was just evaluated.
        """
        step = int(state.step)
        if step == self.latest_step():
            return
        items = {
            "variables": ocp.args.StandardSave(state.variables),
            "optimizer": ocp.args.StandardSave({"opt_state": state.opt_state}),
            "data": ocp.args.JsonSave(data_state),
            "description": ocp.args.JsonSave({**description, "step": step}),
        }
        self._manager.save(step, args=ocp.args.Composite(**items), metrics=validation or {})

    def restore_latest(self, template: TrainState) -> Restored:
        """Reads the latest checkpoint.

        Args:
          template: shapes and devices of the state, of `abstract_state`.

        Returns:
          State and data position.

        Raises:
          UserError: the checkpoint is of another model.
        """
        self._manager.wait_until_finished()
        step = self._manager.latest_step()
        if step is None:
            raise UserError(f"there is no checkpoint in {self._manager.directory}.")
        _check_same_model(self._manager, step, template.variables)
        items = {
            "variables": ocp.args.StandardRestore(template.variables),
            "optimizer": ocp.args.StandardRestore({"opt_state": template.opt_state}),
            "data": ocp.args.JsonRestore(),
            "description": ocp.args.JsonRestore(),
        }
        found = self._manager.restore(step, args=ocp.args.Composite(**items))
        count = jax.device_put(jax.numpy.asarray(step, jax.numpy.int32), template.step.sharding)
        state = TrainState(step=count, **found["variables"], **found["optimizer"])
        return Restored(state, found["data"], found["description"])


def describe(config: ConfigDict, source: ClipSource) -> dict[str, Any]:
    """What a checkpoint says about itself, as JSON.

    Args:
      config: the recipe.
      source: the training clips.

    Returns:
      Nested mapping.
    """
    return {
        "label_names": list(source.label_names),
        "videos": len(source),
        "config": json.loads(to_json(config)),
        "library_version": importlib.metadata.version("motion_vit"),
    }


def load_for_inference(
    folder: str | os.PathLike[str], *, which: Which = "last", mesh: Mesh | None = None
) -> TrainedModel:
    """Builds the model of a checkpoint and reads its variables.

    Args:
      folder: the workdir of a run.
      which: the last checkpoint, or the one of best validation accuracy; they are the same without a validation list.
      mesh: devices that hold the variables, all by default.

    Returns:
      Model, variables, label names and recipe.

    Raises:
      UserError: there is no checkpoint, or the model of this library version has other parameters.
    """
    path = pathlib.Path(folder)
    root = path / CHECKPOINTS_FOLDER
    if not root.is_dir():
        raise UserError(
            f"there is no checkpoint in {path}. Give the --workdir of a `motion-vit train` run, "
            f"which has a folder {CHECKPOINTS_FOLDER}."
        )
    with _open(root, ocp.CheckpointManagerOptions(create=False, best_fn=_top1)) as manager:
        step = manager.best_step() if which == "best" else manager.latest_step()
        if step is None:
            raise UserError(f"there is no finished checkpoint in {root}; the run has not saved one yet.")
        description = manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))["description"]
        label_names = tuple(description["label_names"])
        config = config_from_dict(description["config"])
        model = build_model(config, len(label_names))
        target = _variable_shapes(model, meshes.data_mesh() if mesh is None else mesh)
        _check_same_model(manager, step, target)
        found = manager.restore(step, args=ocp.args.Composite(variables=ocp.args.StandardRestore(target)))
    return TrainedModel(model, found["variables"], label_names, config, step)


def _open(folder: pathlib.Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    handlers = {
        "variables": ocp.StandardCheckpointHandler(),
        "optimizer": ocp.StandardCheckpointHandler(),
        "data": ocp.JsonCheckpointHandler(),
        "description": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager(folder.resolve(), item_handlers=handlers, options=options)


def _top1(metrics: dict[str, float]) -> float:
    """What checkpoints are ranked by; one that was not evaluated comes after all that were."""
    return metrics.get("top1", -1.0)


def _variable_shapes(model: nn.Module, mesh: Mesh) -> dict[str, Any]:
    """Shapes of a model's variables, to be held whole by every device."""
    clips = jax.ShapeDtypeStruct((1, model.frames, model.image_size, model.image_size, 3), jax.numpy.float32)
    shapes = jax.eval_shape(lambda key, clips: model.init(key, clips, train=False), jax.random.key(0), clips)
    sharding = meshes.replicated(mesh)

    def place(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return {
        "params": jax.tree.map(place, shapes["params"]),
        "batch_stats": jax.tree.map(place, shapes.get("batch_stats", {})),
    }


def _check_same_model(manager: ocp.CheckpointManager, step: int, expected: Any) -> None:
    """Compares names and shapes, so that a checkpoint of another model is refused with the list of differences."""
    wanted = _flat_shapes(expected)
    found = _flat_shapes(manager.item_metadata(step)["variables"].tree)
    differences = [f"  the checkpoint lacks {name} {shape}" for name, shape in wanted.items() if name not in found]
    differences += [f"  the model has no {name} {shape}" for name, shape in found.items() if name not in wanted]
    differences += [
        f"  {name} is {found[name]} in the checkpoint, but {shape} in the model"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if differences:
        shown = "\n".join(differences[:_SHOWN_DIFFERENCES])
        more = len(differences) - _SHOWN_DIFFERENCES
        rest = f"\n  and {more} more" if more > 0 else ""
        raise UserError(
            f"the checkpoint of step {step} in {manager.directory} is of another model:\n{shown}{rest}\n"
            "Use the config that it was trained with, or another workdir."
        )


def _flat_shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in traverse_util.flatten_dict(tree, sep="/").items()}
