"""Loads a trained model from the workdir of a run, a weights folder, or the installed library.

`motion_vit.zoo.load`, which is `motion_vit.load`, also takes what others have published.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable

from jax.sharding import Mesh

from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.local_path import local_path, path_text
from motion_vit.training.checkpoints.model_description import CONFIG_FILE, HUB_PREFIX, is_description
from motion_vit.training.checkpoints.packaged import packaged_checkpoints
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun, classifies_nothing
from motion_vit.training.checkpoints.reported_evaluation import reported_evaluation
from motion_vit.training.checkpoints.run_checkpoints import CHECKPOINTS_FOLDER, load_run
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.checkpoints.weights_folder import WEIGHTS_FILE, read_weights_folder

_OWNER_AND_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def load_trained(
    folder: str | os.PathLike[str], *, which: Which = "last", ema: bool | None = None, mesh: Mesh | None = None
) -> TrainedModel:
    """Loads a trained model.

    Args:
      folder: the workdir of a `motion-vit train` run, or a weights folder, as written by `motion-vit export --format
        safetensors` and `huggingface` and by `motion-vit import`; or the name of an installed model, "demo", which is
        used if no folder of that name holds a checkpoint.
      which: of a run, the last checkpoint or the one of best validation accuracy. A weights folder has one.
      ema: of a run, whether to load the averages of the parameters; the recipe's `evaluation.ema` by default. For a
        weights folder, None or the kind that it holds.
      mesh: devices that hold the variables, all by default.

    Returns:
      Model, variables, label names and recipe.

    Raises:
      UserError: the folder is neither a run nor a weights folder, lacks the requested weights, cannot be read, or is
        damaged; or it is a pretrained run, which is no classifier.
    """
    found = load_folder(folder, which=which, ema=ema, mesh=mesh)
    if isinstance(found, PretrainedRun):
        raise classifies_nothing(local_path(folder))
    return found


def load_folder(
    folder: str | os.PathLike[str], *, which: Which = "last", ema: bool | None = None, mesh: Mesh | None = None
) -> TrainedModel | PretrainedRun:
    """Loads what a folder holds, whatever it was trained for.

    Args:
      folder: as for `load_trained`, and all others, too.
      which: likewise.
      ema: likewise.
      mesh: likewise.

    Returns:
      A classifier, or what was pretrained.

    Raises:
      UserError: as `load_trained`, but for pretrained runs.
    """
    if isinstance(folder, TrainedModel):
        raise UserError("the model is loaded already: take it as it is. A folder is loaded, or the name of one.")
    path = local_path(path_text(folder, "the folder of a trained model"))
    try:
        return _load(path, which, ema, mesh)
    except OSError as error:
        raise UserError(
            f"{error.filename or path} cannot be read: {error.strerror or error}. Check the permissions of the folder "
            "and of all that is in it."
        ) from error


def _load(path: pathlib.Path, which: Which, ema: bool | None, mesh: Mesh | None) -> TrainedModel | PretrainedRun:
    if not is_checkpoint(path):
        path = packaged_checkpoints().get(str(path), path)
    if (path / CHECKPOINTS_FOLDER).is_dir():
        run = load_run(path, which=which, ema=ema, mesh=mesh)
        return run if isinstance(run, PretrainedRun) else _with_evaluation(run, path)
    if not is_checkpoint(path):
        raise UserError(not_found(path))
    if which != "last":
        raise UserError(
            f"{path} is a weights folder, which holds one state of the weights: there is no {which!r} one to choose. "
            "Give the workdir of the run, or leave out the choice."
        )
    trained = read_weights_folder(path, mesh=mesh)
    if ema is not None and ema != trained.averaged:
        held = "averages of the parameters" if trained.averaged else "the parameters themselves, not their averages"
        raise UserError(
            f"{path} is a weights folder that holds {held}, so that there is no choice. Give the workdir of the run, "
            "or leave out the choice."
        )
    return _with_evaluation(trained, path)


def is_checkpoint(path: pathlib.Path) -> bool:
    """Tells if a folder holds a run or weights, complete or not.

    Args:
      path: a folder; a name that no folder here has may be that of an installed model.
    """
    return (path / CHECKPOINTS_FOLDER).is_dir() or is_description(path / CONFIG_FILE) or (path / WEIGHTS_FILE).exists()


def _with_evaluation(trained: TrainedModel, path: pathlib.Path) -> TrainedModel:
    """Adds evaluations that were reported after the weights were written."""
    return dataclasses.replace(trained, evaluation=reported_evaluation(path, trained) or trained.evaluation)


def not_found(path: pathlib.Path, known: Iterable[str] = ()) -> str:
    """Says that there is no checkpoint at a path, and why.

    Args:
      path: a folder, or what should be the name of a model.
      known: names of models beside those that are installed.

    Returns:
      A message.
    """
    if not path.exists():
        what = "the folder does not exist"
    elif not path.is_dir():
        what = "it is a file; a file of PyTorch weights is taken in with `motion-vit import`"
    else:
        what = f"it has neither a folder {CHECKPOINTS_FOLDER} nor files {CONFIG_FILE} and {WEIGHTS_FILE}"
    names = [*packaged_checkpoints(), *known]
    if _OWNER_AND_NAME.fullmatch(str(path)) and not path.parent.exists():
        meant = f" Did you mean '{HUB_PREFIX}{path}'?"
    else:
        meant = did_you_mean(str(path), names)
    return (
        f"there is no checkpoint in {path}: {what}. Give the --workdir of a `motion-vit train` run, or a weights "
        "folder of `motion-vit export --format safetensors` or `motion-vit import`, or the name of an installed model: "
        f"{', '.join(packaged_checkpoints())}, or of published weights, which `motion-vit models` lists, or "
        f"hf:owner/name.{meant}"
    )
