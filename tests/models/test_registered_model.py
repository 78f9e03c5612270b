"""A model of another package, that of docs/extending/model.md, does all that the library's own models do."""

import dataclasses
import importlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables
from exported import COMMAND
from extending_pages import ROOT, write_page_files
from flax import linen as nn
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.interop.exporting.export import export_model
from motion_vit.models.checked_model import checked_model
from motion_vit.models.inspection import inspect_model
from motion_vit.models.intermediates import apply_with_intermediates
from motion_vit.models.registry import create_model, list_models, register_model
from motion_vit.models.video_model import Backbone
from motion_vit.modules.motion_module import apply_motion_module, make_motion_module
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.recipe.config import default_config
from motion_vit.visualization import recording
from motion_vit.visualization.visualize import visualize

Lists = dict[str, pathlib.Path]

OPTIONS = {"width": 8, "patch_size": 8}


class Minimal(Backbone):
    """The least that a model is: no method of the contract but the one that every model defines."""

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        return nn.Dense(self.num_classes, name="head")(clips.mean(axis=(1, 2, 3)))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """The folder in which the page's package is installed."""
    root = tmp_path_factory.mktemp("installed")
    write_page_files("model", root)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    yield root
    sys.path.remove(str(root))


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Lists:
    """Rendered videos: train and validation."""
    folder = tmp_path_factory.mktemp("videos")
    return render_dataset(
        folder, splits={"train": 16, "validation": 8}, size=16, frames=(4, 6), workers=1, progress=False
    )


def recipe(lists: Lists, **options: Any) -> ConfigDict:
    """Two steps of the page's model."""
    config = default_config()
    config.model.name = "two_stream"
    config.model.options = {**OPTIONS, **options}
    config.data.train, config.data.validation = str(lists["train"]), str(lists["validation"])
    config.data.frames, config.data.size, config.data.workers = 4, 16, 0
    config.batch_size = config.evaluation.batch_size = 8
    config.epochs, config.optimizer.warmup_epochs = 1.0, 0.0
    config.optimizer.layer_decay = 0.5
    return config


@pytest.fixture(scope="module")
def run(installed: pathlib.Path, lists: Lists, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of the page's model, which was found by its entry point."""
    workdir = tmp_path_factory.mktemp("run")
    with jax.numpy_dtype_promotion("standard"):
        train(recipe(lists), workdir, devices=jax.devices()[:1])
    return workdir


@pytest.fixture(scope="module")
def trained(run: pathlib.Path) -> TrainedModel:
    return load_trained(run)


def test_it_is_listed_and_inspected(installed: pathlib.Path) -> None:
    assert list_models()["two_stream"] == "patch features and their changes, averaged"
    table = inspect_model("two_stream", OPTIONS)
    assert "patches" in table
    assert f"{8 * 8 * 3 * 8 + 8 + 2 * 8:,}" in table


def test_it_is_trained_evaluated_and_saved(
    run: pathlib.Path, trained: TrainedModel, lists: Lists, tmp_path: pathlib.Path
) -> None:
    assert trained.step == 2
    assert evaluate_checkpoint(run, lists["validation"]).clips == 1
    write_weights_folder(tmp_path, trained)
    again = load_trained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.variables, trained.variables)
    assert again.model == trained.model


@pytest.mark.slow
def test_it_starts_from_its_own_weights_with_other_classes_and_behind_motion_prompts(
    run: pathlib.Path, lists: Lists, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = recipe(lists, input_adapter="motion_prompt", dropout=0.1)
    config.initial_weights = str(run)
    with jax.numpy_dtype_promotion("standard"):
        train(config, tmp_path, devices=jax.devices()[:1])
    said = capsys.readouterr().out
    assert "They go behind the motion prompt" in said
    assert "dropout was" not in said  # of no concern to weights, as the class says
    assert load_trained(tmp_path).model.clip_shape == (5, 16, 16, 3)


def test_its_layers_are_frozen_and_start_from_weights(
    run: pathlib.Path, trained: TrainedModel, lists: Lists, tmp_path: pathlib.Path
) -> None:
    config = recipe(lists)
    config.initial_weights = str(run)
    config.optimizer.layer_decay = 1.0
    config.optimizer.frozen = ((r"patches/.*", True),)
    with jax.numpy_dtype_promotion("standard"):
        train(config, tmp_path, devices=jax.devices()[:1])
    before, after = trained.variables["params"], load_trained(tmp_path).variables["params"]
    jax.tree.map(np.testing.assert_array_equal, after["patches"], before["patches"])
    assert np.abs(after["head"]["kernel"] - before["head"]["kernel"]).max() > 0


def test_it_is_drawn(trained: TrainedModel, lists: Lists) -> None:
    video = next(lists["validation"].parent.rglob("*.mp4"))
    seen = visualize(trained, video, what=["cam", "grad-cam"])
    assert {(one.title, one.grid.rows, one.grid.columns) for one in seen.maps} == {
        ("Class activation", 2, 2),
        ("Grad-CAM", 2, 2),
    }


@pytest.mark.parametrize("name", ["stablehlo", "onnx"])
def test_it_is_exported_as_a_program(name: str, trained: TrainedModel, tmp_path: pathlib.Path) -> None:
    export_model(trained, name, tmp_path / "program")
    assert (tmp_path / "program" / "config.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("finds_package", [True, False])
def test_another_process_finds_it_if_its_package_is_installed(
    run: pathlib.Path, installed: pathlib.Path, lists: Lists, finds_package: bool
) -> None:
    video = next(lists["validation"].parent.rglob("*.mp4"))
    path = os.pathsep.join([str(ROOT), *([str(installed)] if finds_package else [])])
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, "predict", "--checkpoint", str(run), str(video)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if finds_package:
        assert process.returncode == 0, process.stderr
        assert video.name in process.stdout
    else:
        assert process.returncode == 2
        assert "unknown model 'two_stream'" in process.stderr
        assert "entry point of the group motion_vit.plugins" in process.stderr


def test_a_package_that_cannot_be_imported_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[motion_vit.plugins]\nmine = broken_plugin\n")
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no such thing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"plugin 'broken_plugin'.* RuntimeError: no such thing. Repair or uninstall"):
        create_model("a_model_that_is_not_known")


def test_a_definition_that_runs_twice_takes_the_place_of_the_first() -> None:
    register_model("minimal", Minimal, {"num_classes": 3}, "the least")
    register_model("minimal", Minimal, {"num_classes": 4}, "the least")
    assert create_model("minimal").num_classes == 4


def test_what_a_model_does_not_say_has_a_default_or_is_told_where_it_is_asked_for() -> None:
    register_model("minimal", Minimal)
    model = create_model("minimal", frames=4, image_size=32)
    assert model.clip_shape == (4, 32, 32, 3)
    assert model.layer_patterns() == model.frozen_patterns() == model.cost_volume_stages() == ()
    with pytest.raises(UserError, match=r"tokens of a Minimal lie is not known. Define its method token_layout"):
        model.token_layout("head_output", model.clip_shape)
    with pytest.raises(UserError, match=r"a Minimal has no class activation map.* define its method activation_layer"):
        model.activation_layer()
    with pytest.raises(UserError, match=r"Minimal cannot split frames over devices. Set the config field mesh\.frames"):
        model.with_frames_split("frames")


class NoCall(Backbone):
    """A model that classifies nothing."""


class NoTrain(Backbone):
    """A model that does not take `train`."""

    @nn.compact
    def __call__(self, clips: jax.Array) -> jax.Array:
        return nn.Dense(self.num_classes, name="head")(clips.mean(axis=(1, 2, 3)))


class NeedsTrain(Backbone):
    """A model whose `train` has no default."""

    def __call__(self, clips: jax.Array, train: bool) -> jax.Array:
        return clips.mean(axis=(1, 2, 3))


class NoDefault(Minimal):
    """A model with a field that is no option."""

    width: list[int] = dataclasses.field(default_factory=list)


class Activated(Minimal):
    """A model with an option that no recipe can hold."""

    activation: Any = nn.gelu


class Prompted(Minimal):
    """A model with an option of input adapters."""

    pixel_mean: float = 0.5


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("name", "model_class", "options", "message"),
    [
        ("uniformer_s", Minimal, {}, "there is a model 'uniformer_s' already"),
        ("minimal", NoCall, {}, "there is a model 'minimal' already"),
        ("own", nn.Dense, {}, "must be a class that derives from motion_vit.models.video_model.Backbone"),
        ("own", Minimal(), {}, "must be a class that derives from motion_vit.models.video_model.Backbone"),
        ("own", NoCall, {}, "it must define __call__"),
        ("own", NoTrain, {}, r"__call__ has the parameters \(self, clips.*, but the library calls"),
        ("own", NeedsTrain, {}, "also without train"),
        ("own", Minimal, ["num_classes"], "options of model 'own' are \\['num_classes'\\], but must be a mapping"),
        ("own", Minimal, 3, "options of model 'own' are 3, but must be a mapping"),
        ("own", NoDefault, {}, "its field 'width' must have a default"),
        ("own", Activated, {}, "its field 'activation' has the default .*, but options are numbers, texts"),
        ("own", Prompted, {}, "its field 'pixel_mean' has the name of an option of input adapters"),
        ("own", Minimal, {"widht": 3}, "unknown option 'widht' of model 'own'"),
        ("own", Minimal, {"num_classes": 0}, "model 'own' cannot be built: num_classes is 0"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(name: Any, model_class: Any, options: Any, message: str) -> None:
    register_model("minimal", Minimal)
    before = list_models()
    with pytest.raises(UserError, match=message):
        register_model(name, model_class, options)
    assert list_models() == before


class Wrong(Minimal):
    """A model that returns something else than logits: what the option says."""

    returned: str = "one class too many"

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        logits = nn.Dense(self.num_classes, name="head")(clips.mean(axis=(1, 2, 3)))
        made: dict[str, Any] = {
            "one class too many": jnp.pad(logits, ((0, 0), (0, 1))),
            "no batch": logits[0],
            "an axis more": logits[..., None],
            "whole numbers": logits.astype(jnp.int32),
            "a tuple": (logits, logits),
            "nothing": None,
        }
        return made[self.returned]


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("returned", "found"),
    [
        ("one class too many", r"float32\[1, 4\]"),
        ("no batch", r"float32\[3\]"),
        ("an axis more", r"float32\[1, 3, 1\]"),
        ("whole numbers", r"int32\[1, 3\]"),
        ("a tuple", "tuple"),
        ("nothing", "NoneType"),
    ],
)
def test_what_a_model_returns_is_checked_before_a_run(returned: str, found: str) -> None:
    register_model("wrong", Wrong)
    with pytest.raises(UserError, match=rf"returns {found} for one clip, .* shape \[1, 3\].* Mend __call__ of Wrong"):
        checked_model("wrong", {"num_classes": 3, "returned": returned, "image_size": 16})


def test_a_model_that_names_no_intermediate_runs_and_says_what_drawing_needs() -> None:
    register_model("minimal", Minimal)
    model = create_model("minimal", num_classes=3, frames=2, image_size=16)
    clips = jnp.zeros((1, *model.clip_shape))
    variables = drawn_variables(model)
    logits, intermediates = jax.jit(lambda *given: apply_with_intermediates(model, *given))(variables, clips)
    assert (logits.shape, intermediates) == ((1, 3), {})
    assert recording.names(model) == {}
    with pytest.raises(UserError, match=r"names no intermediate, .* motion_vit\.models\.intermediates\.name_output"):
        recording.record(model, variables, clips, ["*"])


def test_drawing_a_model_that_names_no_intermediate_says_what_it_needs(lists: Lists) -> None:
    register_model("minimal", Minimal)
    model = create_model("minimal", num_classes=3, frames=2, image_size=16)
    config = default_config()
    config.model.name, config.data.frames, config.data.size = "minimal", 2, 16
    variables = drawn_variables(model)
    trained = TrainedModel(model, variables, ("a", "b", "c"), config, step=0)
    video = next(lists["validation"].parent.rglob("*.mp4"))
    with pytest.raises(UserError, match="the model names no intermediate"):
        visualize(trained, video)


class WithMotion(Minimal):
    """A backbone of another package with motion modules, as docs/extending/model.md says."""

    motion_module: str = "none"

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        features = nn.Conv(16, (4, 4), (4, 4), name="patches")(clips)
        module = make_motion_module(self.motion_module, batch_norm_groups=1, dtype=self.dtype, name="motion")
        features = apply_motion_module(module, features, train=train)
        return nn.Dense(self.num_classes, name="head")(features.mean(axis=(1, 2, 3)))


@pytest.mark.parametrize("kind", ["none", "m2a", "tea"])
def test_a_backbone_of_ones_own_takes_motion_modules(kind: str) -> None:
    register_model("with_motion", WithMotion)
    traced = checked_model("with_motion", {"frames": 4, "image_size": 32, "motion_module": kind})
    assert ("motion" in traced.shapes["params"]) == (kind != "none")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("remat", "blocks", r"config field remat .* cannot do.* has a field remat"),
        ("scan_blocks", True, r"config field scan_blocks .* cannot do.* has a field scan_blocks"),
    ],
)
def test_what_a_model_has_no_field_for_is_told_with_the_field(field: str, value: Any, message: str) -> None:
    register_model("minimal", Minimal)
    config = default_config()
    config.model.name, config.data.frames, config.data.size = "minimal", 2, 16
    config[field] = value
    with pytest.raises(UserError, match=message):
        build_model(config, 3)
