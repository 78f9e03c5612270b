"""Makes hostile recipes, and damaged workdirs of runs and prepared folders."""

import json
import pathlib
import random
import shutil

from damage import damage_folder
from good_inputs import PREPARED, RECIPE, RUN
from hostile_values import EXTREMES, LITERALS, hostile_json

from motion_vit.training.recipe.config import default_config, flatten

_OPTIONS = ("widths", "depths", "window", "head_channels", "mlp_ratio", "dropout", "dtype", "patch_sizes", "what")
_SMALL = (1, 2, 3, 4, 8, 0.5)


def hostile_recipe(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes fields of a recipe with extreme values, as a Python program would set them.

    Args:
      rng: fixes everything.
      folder: for the file.
      good: unused.

    Returns:
      A file of JSON: dotted name -> value.
    """
    names = rng.choices(
        [*flatten(default_config()), *(f"model.options.{name}" for name in _OPTIONS)], k=rng.randint(1, 3)
    )
    path = folder / "fields.json"
    values = EXTREMES if rng.random() < 0.7 else _SMALL
    path.write_text(json.dumps({name: rng.choice(values) for name in names}))
    return path


def hostile_overrides(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes arguments of the command line that change fields of a recipe.

    Args:
      rng: fixes everything.
      folder: for the file.
      good: unused.

    Returns:
      A file of JSON: a list of arguments.
    """
    fields = [
        *flatten(default_config()),
        "model.options.window",
        "loss.options.gamma",
        "",
        ".",
        "data",
        "model.options",
        "x",
    ]
    texts = (*LITERALS, *(str(value) for value in EXTREMES))
    arguments = [f"--config.{rng.choice(fields)}={rng.choice(texts)}" for _ in range(rng.randint(1, 2))]
    path = folder / "overrides.json"
    path.write_text(json.dumps(arguments))
    return path


def hostile_recipe_file(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes the workdir of a run whose `recipe.json` is hostile.

    Args:
      rng: fixes everything.
      folder: for the workdir.
      good: of `write_good_inputs`.

    Returns:
      The workdir.
    """
    run = pathlib.Path(shutil.copytree(good / RUN, folder / "run"))
    (run / "recipe.json").write_bytes(hostile_json((good / RECIPE).read_bytes(), rng))
    return run


def damaged_run(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes the workdir of a run of which one file is damaged: of a checkpoint, mostly, or of logs and reports.

    Args:
      rng: fixes everything.
      folder: for the workdir.
      good: of `write_good_inputs`.

    Returns:
      The workdir.
    """
    run = pathlib.Path(shutil.copytree(good / RUN, folder / "run"))
    draw = rng.random()
    if draw < 0.7:
        damage_folder(run / "checkpoints", rng)
    elif draw < 0.8:
        damage_folder(run, rng, "metrics.jsonl")
    elif draw < 0.9:
        lines = (run / "metrics.jsonl").read_bytes().splitlines()
        lines[rng.randrange(len(lines))] = hostile_json(lines[0], rng)
        (run / "metrics.jsonl").write_bytes(b"\n".join([*lines, b""]))
    else:
        report = {"step": 2, "ema": False, "frame_order": "normal", "top1": 0.5, "top5": 0.9, "videos": 4, "data": "x"}
        folder = run / "evaluation" / "x"
        folder.mkdir(parents=True)
        (folder / "evaluation.json").write_bytes(hostile_json(json.dumps(report).encode(), rng))
    return run


def damaged_prepared(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a prepared folder of which one file is damaged, or whose manifest is hostile.

    Args:
      rng: fixes everything.
      folder: for the prepared folder.
      good: of `write_good_inputs`.

    Returns:
      The prepared folder.
    """
    prepared = pathlib.Path(shutil.copytree(good / PREPARED, folder / "prepared"))
    manifest = prepared / "manifest.json"
    if rng.random() < 0.4:
        manifest.write_bytes(hostile_json(manifest.read_bytes(), rng))
    else:
        damage_folder(prepared, rng)
    return prepared
