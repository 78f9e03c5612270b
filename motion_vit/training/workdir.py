"""The folder of a run: its recipe, and whether the same run is continued."""

import json
import pathlib

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.training.checkpointing import CHECKPOINTS_FOLDER
from motion_vit.training.config import config_from_dict, differing_fields, to_json

CONFIG_FILE = "config.json"


def prepare_workdir(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Makes the folder of a run and writes the whole recipe into it.

    Args:
      config: the recipe.
      workdir: folder of the run.

    Raises:
      UserError: it is a file, or the folder holds checkpoints of a run that was trained with another recipe.
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
    workdir.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(config) + "\n", encoding="utf-8")
