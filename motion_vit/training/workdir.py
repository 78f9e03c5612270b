"""The folder of a run: its recipe, and whether the same run is continued."""

import json
import os
import pathlib
import time

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.training.checkpointing import CHECKPOINTS_FOLDER
from motion_vit.training.config import config_from_dict, differing_fields, flatten, to_json
from motion_vit.training.distributed import SharedError, gather

CONFIG_FILE = "config.json"

# For so long a network file system may not show what another machine has written.
_VISIBLE_SECONDS = 60


def prepare_workdir(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Makes the folder of a run and writes the whole recipe into it.

    Args:
      config: the recipe.
      workdir: folder of the run.

    Raises:
      UserError: it is a file or cannot be written, or holds checkpoints of a run that was trained with another recipe.
    """
    path = workdir / CONFIG_FILE
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"the workdir {workdir} is a file; give a folder, or the name of a new one.")
    if path.exists() and (workdir / CHECKPOINTS_FOLDER).exists():
        differences = differing_fields(config_from_dict(json.loads(path.read_text(encoding="utf-8"))), config)
        if differences:
            lines = "\n".join(f"  {name}: {old!r} there, {new!r} here" for name, (old, new) in differences.items())
            raise UserError(
                f"{workdir} holds a run with another recipe:\n{lines}\n"
                "Give the same values to continue that run, or another --workdir for a new one."
            )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # A run that is killed here keeps its old recipe.
        renewed = path.with_suffix(".new")
        renewed.write_text(to_json(config) + "\n", encoding="utf-8")
        os.replace(renewed, path)
    except OSError as error:
        raise UserError(
            f"the workdir {workdir} cannot be written: {error.strerror}. Check the free space and the permissions, or "
            "give another --workdir."
        ) from error


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


def wait_for_workdir(workdir: pathlib.Path, seconds: float = _VISIBLE_SECONDS) -> None:
    """Waits until the folder that another process has prepared can be seen here.

    Args:
      workdir: folder of the run.
      seconds: how long.

    Raises:
      UserError: it cannot.
    """
    end = time.monotonic() + seconds
    while not (workdir / CONFIG_FILE).exists():
        if time.monotonic() > end:
            raise UserError(
                f"the workdir {workdir.absolute()} that process 0 has made is not seen here. Give a folder of a file "
                "system that all machines of the run share."
            )
        time.sleep(0.5)
