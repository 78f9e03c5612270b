"""Reads inputs as the library's commands do, one after the other; `fuzz` runs it as a process of its own.

Its argument is the folder of `good_inputs.write_good_inputs`. It answers "ready" once it has read good inputs. After
that each line on standard input is JSON, `[kind, path]`, and each line of the answer is `[outcome, message]`. Outcomes:
"taken", "clear" (refused with a message for people), "wrong" (any other exception) and "silent" (damage that went
unnoticed).
"""

import contextlib
import functools
import json
import os
import pathlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from good_inputs import FOREIGN, FOREIGN_MODEL, FRAMES, PREPARED, RECIPE, RUN, VIDEOS, WEIGHTS
from hostile_videos import GOOD_CLIP
from hostile_weights import CALLED
from small_network import register_small_network
from video_mutations import read_everything

import motion_vit
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.open_source import open_source, open_sources
from motion_vit.data.sources.source_check import check_source
from motion_vit.data.video.encoded_video import JpegFrames, VideoBytes
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.label_file import read_label_file
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.evaluation.evaluate import ViewOptions, evaluate
from motion_vit.training.evaluation.report import write_report
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.training.recipe.checks import validate
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.config import config_from_dict, default_config, set_field
from motion_vit.training.recipe.file import load_config

SMALL_RECIPE = pathlib.Path(__file__).resolve().parents[1] / "small_recipe.py"


class SilentDamageError(Exception):
    """Error of damage that was not noticed."""


def _same(one: Any, other: Any) -> bool:
    equal = jax.tree.map(lambda a, b: np.array_equal(a, b), one, other)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(jax.tree.leaves(equal))


class Reader:
    """Reads inputs of every kind.

    Args:
      good: of `write_good_inputs`.
    """

    def __init__(self, good: pathlib.Path) -> None:
        self._good = good

    @functools.cached_property
    def _trained(self) -> TrainedModel:
        return load_trained(self._good / WEIGHTS)

    @functools.cached_property
    def _good_prediction(self) -> Any:
        return self._trained.predict([self._good / VIDEOS / "clip.mp4"])[0].classes

    @functools.cached_property
    def _good_variables(self) -> dict[str, dict[str, Any]]:
        return {
            RUN: load_trained(self._good / RUN).variables,
            FOREIGN: self._import(self._good / FOREIGN / "weights.npz"),
        }

    @functools.cached_property
    def _good_clips(self) -> list[Any]:
        return [source[row] for source in open_sources(self._good / PREPARED) for row in range(len(source))]

    def read(self, kind: str, path: pathlib.Path) -> tuple[str, str]:
        """Reads an input.

        Args:
          kind: one of `hostile_inputs.KINDS`.
          path: where it is.

        Returns:
          Outcome and message.
        """
        try:
            message = self._readers[kind](path)
            if os.path.exists(CALLED):
                return "wrong", f"a pickle ran: {CALLED} is there"
        except motion_vit.UserError as error:
            return "clear", str(error)
        except SilentDamageError as error:
            return "silent", str(error)
        except Exception:
            return "wrong", traceback.format_exc()
        return ("clear", message) if message else ("taken", "")

    def warm_up(self) -> None:
        """Reads good inputs, so that what is compiled once and imported counts for none of the hostile ones.

        Raises:
          AssertionError: a good input is refused.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            shutil.copy(self._good / VIDEOS / "clip.mp4", folder / GOOD_CLIP)
            (folder / "list.csv").write_text(f"path,label\n{GOOD_CLIP},class 0\n")
            (folder / "names.txt").write_text("one\ntwo\n")
            (folder / "fields.json").write_text("{}")
            (folder / "overrides.json").write_text("[]")
            shutil.copytree(self._good / RUN, folder / "run")
            inputs = {
                **{"list": "list.csv", "videos of a list": "list.csv", "class names": "names.txt", "run": "run"},
                **{"recipe": "fields.json", "override": "overrides.json", "recipe file": "run"},
                **{"sized recipe": "fields.json", "video": GOOD_CLIP},
                **dict.fromkeys(("foreign weights", "sized weights"), self._good / FOREIGN / "weights.pth"),
                **{"weights folder": self._good / WEIGHTS, "description": self._good / WEIGHTS},
                "prepared folder": self._good / PREPARED,
            }
            for kind in self._readers:
                answer = self.read(kind, folder / inputs[kind])
                assert answer == ("taken", ""), f"a good {kind} is refused: {answer}"

    @property
    def _readers(self) -> dict[str, Callable[[pathlib.Path], str]]:
        return {
            "video": self._video,
            "videos of a list": self._list_of_videos,
            "list": self._list,
            "class names": self._class_names,
            "recipe": self._recipe,
            "override": self._overrides,
            "recipe file": self._recipe_file,
            "foreign weights": self._foreign_weights,
            "weights folder": self._weights_folder,
            "description": self._description,
            "run": self._run,
            "prepared folder": self._prepared,
            "sized recipe": self._recipe,
            "sized weights": self._foreign_weights,
        }

    def _video(self, path: pathlib.Path) -> str:
        if path.is_file():
            read_everything(VideoBytes(path.name, path.read_bytes()))
        [prediction] = self._trained.predict([path])
        assert prediction.error or np.isfinite([probability for _, probability in prediction.classes]).all()
        return prediction.error

    def _list_of_videos(self, path: pathlib.Path) -> str:
        source = open_source(path, default_split="validation", label_names=self._trained.label_names)
        checked = check_source(source, workers=1, progress=False)
        checked.summary()
        trained = self._trained
        result = evaluate(
            trained.logits_function(data_mesh()),
            trained.variables,
            source,
            clip_options(trained.config),
            ViewOptions(batch_size=4, threads=1),
            mesh=data_mesh(),
        )
        prediction = next(
            one for one in trained.predict([path.parent / name for name in source.ids]) if one.path.endswith(GOOD_CLIP)
        )
        found, expected = dict(prediction.classes), dict(self._good_prediction)
        # In a batch of another size, the last bits may be others.
        agrees = list(found) == list(expected) and np.allclose(list(found.values()), list(expected.values()), rtol=1e-5)
        assert agrees, "the good video has another prediction among bad ones"
        assert not any(GOOD_CLIP in clip.id for clip in checked.bad), "the good video is called bad"
        assert not any(GOOD_CLIP in name for name in result.skipped), "the good video is not evaluated"
        codec = "h264-fast" if sum(path.read_bytes()) % 2 else "copy"
        with tempfile.TemporaryDirectory() as folder:
            dataset = read_dataset("list", path, {"validation_share": 0.0})
            prepare_dataset(dataset, folder, codec=codec, workers=1, skip_bad=True, verify=True, progress=False)
            prepared = open_source(folder, default_split="train")
            clips = {clip.id: clip for clip in (prepared[row] for row in range(len(prepared)))}
            assert clips[GOOD_CLIP].frames == FRAMES, "the good video is not prepared whole"
            write_report(result, pathlib.Path(folder) / "report")
        return "; ".join(clip.reason for clip in checked.bad)

    def _list(self, path: pathlib.Path) -> str:
        source = open_source(path, default_split="train")
        checked = check_source(source, workers=1, progress=False)
        checked.summary()
        with tempfile.TemporaryDirectory() as folder:
            prepare_dataset(read_dataset("list", path, {}), folder, workers=1, skip_bad=True, progress=False)
        return "; ".join(clip.reason for clip in checked.bad)

    def _class_names(self, path: pathlib.Path) -> str:
        names = read_label_file(path)
        assert names
        assert all(isinstance(name, str) for name in names)
        return ""

    def _recipe(self, path: pathlib.Path) -> str:
        config = default_config()
        config.model.name = "uniformer_emim_tiny"
        config.data.frames, config.data.size = 4, 32
        for name, value in json.loads(path.read_text()).items():
            set_field(config, name, value)
        validate(config)
        return ""

    def _overrides(self, path: pathlib.Path) -> str:
        config = load_config(str(SMALL_RECIPE), json.loads(path.read_text()))
        validate(config)
        return ""

    def _recipe_file(self, path: pathlib.Path) -> str:
        self._train(path)
        return ""

    def _train(self, run: pathlib.Path) -> None:
        """Starts training, as far as the first step."""
        config = config_from_dict(json.loads((self._good / RECIPE).read_text()))
        train(config, run, max_steps=0)

    def _import(self, path: pathlib.Path) -> Any:
        options = {name: value for name, value in FOREIGN_MODEL.items() if name != "name"}
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out"
            import_weights(path, str(FOREIGN_MODEL["name"]), out, options={"frames": 4, "image_size": 32, **options})
            return load_trained(out).variables

    def _foreign_weights(self, path: pathlib.Path) -> str:
        variables = self._import(path)
        # Archives have checksums of their own. A safetensors file has none.
        if path.suffix != ".safetensors" and not _same(variables, self._good_variables[FOREIGN]):
            raise SilentDamageError("the weights are others")
        return ""

    def _weights_folder(self, path: pathlib.Path) -> str:
        if not _same(load_trained(path).variables, self._trained.variables):
            raise SilentDamageError("the weights are others")
        return ""

    def _description(self, path: pathlib.Path) -> str:
        trained = load_trained(path)
        trained.predict([self._good / VIDEOS / "clip.mp4"])
        with tempfile.TemporaryDirectory() as folder:
            write_weights_folder(pathlib.Path(folder) / "out", trained)
        return ""

    def _run(self, path: pathlib.Path) -> str:
        refused = ""
        try:
            if not _same(load_trained(path).variables, self._good_variables[RUN]):
                raise SilentDamageError("other weights are loaded")
        except motion_vit.UserError as error:
            refused = str(error)
        self._train(path)
        if not _same(load_trained(path).variables, self._good_variables[RUN]):
            raise SilentDamageError("other weights are trained on")
        return refused

    def _prepared(self, path: pathlib.Path) -> str:
        refused, found = [], []
        for source in open_sources(path):
            for row in range(len(source)):
                try:
                    found.append(source[row])
                except motion_vit.UserError as error:
                    refused.append(str(error))
        for clip in found:
            good = [one for one in self._good_clips if one.id == clip.id]
            if [(_bytes(one.video), one.label, one.frames) for one in good] != [
                (_bytes(clip.video), clip.label, clip.frames)
            ]:
                raise SilentDamageError(f"clip {clip.id} is another one")
        return "; ".join(refused)


def _bytes(video: Any) -> Any:
    return video.files if isinstance(video, JpegFrames) else video.data


def main() -> None:
    """Answers until standard input ends."""
    register_small_network()
    reader = Reader(pathlib.Path(sys.argv[1]))
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    reader.warm_up()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        kind, path = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = reader.read(kind, pathlib.Path(path))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
