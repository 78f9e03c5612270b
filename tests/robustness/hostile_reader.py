"""Reads inputs as the library's commands do, one after the other; `fuzz` runs it as a process of its own.

Each line on standard input is JSON, `[kind, path]`; each line of the answer is `[outcome, message]`. Outcomes: "taken",
"clear" (refused with a message for people), "wrong" (any other exception) and "silent" (damage that went unnoticed).
"""

import contextlib
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from small_network import register_small_network
from small_trained_model import small_trained_model
from video_mutations import read_everything

import motion_vit
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weights_folder import read_weights_folder
from motion_vit.training.recipe.checks import validate
from motion_vit.training.recipe.config import default_config, set_field


def _read_video(path: pathlib.Path) -> str:
    good, _ = read_everything(VideoBytes(path.name, path.read_bytes()))
    return "taken" if good else "clear"


def _read_list(path: pathlib.Path) -> str:
    source = open_source(path, default_split="train")
    for row in range(min(len(source), 4)):
        source[row]
    return "taken"


def _read_recipe(path: pathlib.Path) -> str:
    config = default_config()
    config.model.name = "uniformer_emim_tiny"
    config.data.frames, config.data.size = 4, 32
    for name, value in json.loads(path.read_text()).items():
        set_field(config, name, value)
    validate(config)
    return "taken"


def _read_foreign_weights(path: pathlib.Path) -> str:
    load_torch(motion_vit.create_model("uniformer_emim_tiny"), path, strict=False)
    return "taken"


def _read_sized_weights(path: pathlib.Path) -> str:
    load_torch(motion_vit.create_model("uniformer_emim_tiny"), path)
    return "taken"


def _read_weights_folder(path: pathlib.Path) -> str:
    trained, good = read_weights_folder(path), small_trained_model()
    same = jax.tree.map(lambda one, other: np.array_equal(one, other), trained.variables, good.variables)
    return "taken" if all(jax.tree.leaves(same)) else "silent"


def _read_description(path: pathlib.Path) -> str:
    read_weights_folder(path)
    return "taken"


_READERS: dict[str, Callable[[pathlib.Path], str]] = {
    "video": _read_video,
    "list": _read_list,
    "recipe": _read_recipe,
    "foreign weights": _read_foreign_weights,
    "weights folder": _read_weights_folder,
    "description": _read_description,
    "sized recipe": _read_recipe,
    "sized weights": _read_sized_weights,
}


def _read(kind: str, path: pathlib.Path) -> tuple[str, str]:
    try:
        return _READERS[kind](path), ""
    except motion_vit.UserError as error:
        return "clear", str(error)
    except Exception:
        return "wrong", traceback.format_exc()


def main() -> None:
    """Answers until standard input ends."""
    register_small_network()
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        kind, path = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = _read(kind, pathlib.Path(path))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
