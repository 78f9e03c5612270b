"""The folder of a run: its recipe, and whether the same run is continued."""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator

from ml_collections import ConfigDict

from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, reason_of, write_text
from motion_vit.files.folder_lock import locked_folder
from motion_vit.files.json_file import read_json
from motion_vit.training.checkpoints.run_checkpoints import CHECKPOINTS_FOLDER, steps_on_disk
from motion_vit.training.features.run_features import RunFeatures
from motion_vit.training.parallel.processes import VISIBLE_SECONDS, SharedError, gather
from motion_vit.training.recipe.config import config_from_dict, differing_fields, flatten, to_json

RECIPE_FILE = "recipe.json"


# What may lie in a workdir before its recipe does: logs of schedulers and comparisons, and what starts with a dot.
_LOGS = (".txt", ".log", ".out", ".err")


@contextlib.contextmanager
def locked_workdir(workdir: pathlib.Path) -> Iterator[str]:
    """Makes the folder of a run, and keeps other runs out of it.

    Args:
      workdir: folder of the run.

    Yields:
      A sentence where the file system has no locks; "" otherwise.

    Raises:
      UserError: it is a file, holds something else than a run, cannot be written, or another process trains in it.
    """
    with contextlib.ExitStack() as stack:
        try:
            if workdir.exists() and not workdir.is_dir():
                raise UserError(f"the workdir {workdir} is a file; give a folder, or the name of a new one.")
            workdir.mkdir(parents=True, exist_ok=True)
            _check_is_run(workdir)
            note = stack.enter_context(locked_folder(workdir, "training"))
        except OSError as error:
            raise _cannot_write(workdir, error) from error
        yield note


def _check_is_run(workdir: pathlib.Path) -> None:
    """Checks that a folder holds a run, or nothing but logs."""
    if (workdir / RECIPE_FILE).exists():
        return
    others = (path.name for path in workdir.iterdir() if not path.name.startswith(".") and path.suffix not in _LOGS)
    if found := sorted(others):
        raise UserError(
            f"the workdir {workdir} holds {found[0]!r} and no {RECIPE_FILE}: it is not the folder of a run. Give "
            "that of a run, a new folder, or an empty one."
        )


def _cannot_write(workdir: pathlib.Path, error: OSError | UnwritableError) -> UserError:
    return UserError(
        f"the workdir {workdir} cannot be written: {reason_of(error)}. Check the free space and the permissions, or "
        "give another --workdir."
    )


def prepare_workdir(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Writes the whole recipe into the folder of a run.

    Args:
      config: the recipe.
      workdir: folder of the run.

    Raises:
      UserError: it cannot be read or written, or holds checkpoints of a run that was trained with another recipe.
    """
    path = workdir / RECIPE_FILE
    try:
        if path.exists() and steps_on_disk(workdir / CHECKPOINTS_FOLDER):
            check_continues(workdir, config)
        write_text(path, to_json(config) + "\n")
    except (OSError, UnwritableError) as error:
        raise _cannot_write(workdir, error) from error


def check_continues(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Refuses a recipe that would train otherwise than that of the run in a folder.

    A run whose learning rate falls in steps may be continued with more epochs.

    Args:
      workdir: folder of the run, with its `recipe.json`.
      config: the recipe.

    Raises:
      UserError: they differ, or `recipe.json` is damaged.
    """
    differences = differing_fields(_read_recipe(workdir), config)
    if config.optimizer.schedule == "step" and "epochs" in differences:
        # Steps of the learning rate have places of their own, so that more epochs only follow those that were done.
        old, new = differences["epochs"]
        if new > old >= config.optimizer.warmup_epochs + 1:
            del differences["epochs"]
    if differences:
        ended = ""
        if "epochs" in differences and config.optimizer.schedule == "cosine":
            ended = (
                " The cosine of the learning rate has its end at the last epoch, and cannot be made longer after it."
            )
        lines = "\n".join(f"  {name}: {old!r} there, {new!r} here" for name, (old, new) in differences.items())
        raise UserError(
            f"{workdir} holds a run with another recipe:\n{lines}\n"
            f"Give the same values to continue that run.{ended} To train on from its weights with other ones, such as "
            f"more epochs, start a new run: --workdir OTHER --config.initial_weights={workdir}."
        )


def _read_recipe(workdir: pathlib.Path) -> ConfigDict:
    try:
        values = read_json(workdir / RECIPE_FILE)
        if not isinstance(values, dict):
            raise ValueError(f"it holds a {type(values).__name__} in place of the recipe's fields")
    except ValueError as error:
        raise UserError(
            f"{RECIPE_FILE} of {workdir} is damaged: {error}; remove it to continue with this recipe."
        ) from error
    return config_from_dict(values)


def check_same_recipe(config: ConfigDict) -> None:
    """Compares the recipes that the processes of a run were given; every process must call it.

    Args:
      config: the recipe of this process.

    Raises:
      UserError: they differ; all processes raise it.
    """
    recipes = [flatten(values) for values in gather(json.loads(to_json(config)))]
    for number, recipe in enumerate(recipes):
        for name, value in recipe.items():
            if value != recipes[0].get(name):
                raise SharedError(
                    f"the processes of this run were given different recipes: {name} is {recipes[0].get(name)!r} in "
                    f"process 0 and {value!r} in process {number}. Give all of them the same command."
                )


def check_same_data(
    training: ClipSource,
    validation: ClipSource | None,
    unlabelled: ClipSource | None = None,
    features: RunFeatures | None = None,
) -> None:
    """Compares the data that the processes of a run have opened; every process must call it.

    Args:
      training: the training clips of this process.
      validation: the validation clips, if there are any.
      unlabelled: the unlabelled clips, if there are any.
      features: what is read in the place of clips, if anything is.

    Raises:
      UserError: they differ; all processes raise it.
    """
    sources = {"data.train": training, "data.validation": validation, "unlabelled.data": unlabelled}
    of_this_process = {name: source.fingerprint if source else "" for name, source in sources.items()}
    if features is not None:
        of_this_process["data.features"] = features.training.folder.fingerprint
    found = gather(of_this_process)
    for number, fingerprints in enumerate(found):
        for name, fingerprint in fingerprints.items():
            if fingerprint != found[0][name]:
                raise SharedError(
                    f"process {number} has other data than process 0 under config field {name}: its fingerprint is "
                    f"{fingerprint[:12]} and not {found[0][name][:12]}. Give all machines the same copy."
                )


def wait_for_workdir(workdir: pathlib.Path, seconds: float = VISIBLE_SECONDS) -> None:
    """Waits until the folder that another process has prepared can be seen here.

    Args:
      workdir: folder of the run.
      seconds: how long.

    Raises:
      UserError: it cannot.
    """
    end = time.monotonic() + seconds
    while not (workdir / RECIPE_FILE).exists():
        if time.monotonic() > end:
            raise UserError(
                f"the workdir {workdir.absolute()} that process 0 has made is not seen here. Give a folder of a file "
                "system that all machines of the run share."
            )
        time.sleep(0.5)
