"""Features of a frozen encoder: equal steps with and without them, whole models at the end, and what is refused."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from small_network import register_small_network
from small_trained_model import small_trained_model

import motion_vit
from motion_vit import UserError
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.features.feature_folder import FeatureFolder
from motion_vit.data.sources.open_source import open_source
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.features.extraction import plan_features
from motion_vit.training.loop.loop import TrainingResult, train
from motion_vit.training.parallel.mesh import make_mesh
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.config import default_config, set_field
from motion_vit.training.step.program import TrainingProgram, build_program

VIVIT = {
    **{"attention": "factorised_encoder", "width": 16, "depth": 1, "temporal_depth": 1, "heads": 2, "patch_size": 8},
    **{"frozen": "spatial", "dropout": 0.1, "initialization": "fan_in"},
}
TRAINED_PATHS = ("temporal_places", "temporal_blocks", "temporal_norm", "head")


def encoder(seed: int = 0, **options: object) -> TrainedModel:
    """A ViViT of drawn weights, whose classes are those of the lists, for tokens of 2 frames of 4 x 4 patches."""
    return small_trained_model(seed, name="vivit_tiny", **VIVIT | options)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "weights"
    write_weights_folder(folder, encoder())
    return folder


@pytest.fixture(scope="module")
def features(
    checkpoint: pathlib.Path, lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pathlib.Path]:
    """Features of both lists, in float32."""
    folder = tmp_path_factory.mktemp("features")
    for split, data in lists.items():
        plan_features(checkpoint, data, folder / split, dtype="float32").run()
    return {split: folder / split for split in lists}


@pytest.fixture
def config(checkpoint: pathlib.Path, features: dict[str, pathlib.Path], lists: dict[str, pathlib.Path]) -> ConfigDict:
    """Six steps from features, with two validations."""
    config = default_config()
    config.name = "cached"
    config.model.name = "vivit_tiny"
    config.model.options.update(VIVIT)
    config.initial_weights = str(checkpoint)
    config.data.train, config.data.validation = (str(lists[split]) for split in ("train", "validation"))
    config.data.features, config.data.validation_features = (str(features[split]) for split in ("train", "validation"))
    config.data.frames, config.data.size = 4, 32
    config.batch_size = 8
    config.epochs = 2
    config.optimizer.learning_rate = 1e-2
    config.optimizer.warmup_epochs = 0
    config.evaluation.batch_size = 8
    config.log.every_steps = 2
    return config


def run(config: ConfigDict, folder: pathlib.Path, max_steps: int | None = None) -> TrainingResult:
    return train(config, folder, devices=jax.devices()[:2], max_steps=max_steps)


def by_path(trained: TrainedModel) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(trained.variables), sep="/")


def variables_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return by_path(motion_vit.load(folder))


def program_of(config: ConfigDict) -> TrainingProgram:
    mesh = make_mesh(devices=jax.devices()[:2])
    return build_program(config, mesh, clips_of_class=[3] * 10, total_steps=6, steps_per_epoch=3)


def with_weights(program: TrainingProgram) -> object:
    """The first state, with the drawn weights of the checkpoint."""
    state = program.initial_state()
    params = jax.tree.map(jax.device_put, encoder().variables["params"], program.state_sharding.params)
    return type(state)(**{**vars(state), "params": params})


@pytest.mark.slow
def test_a_step_from_features_is_the_step_from_videos(
    config: ConfigDict, lists: dict[str, pathlib.Path], features: dict[str, pathlib.Path]
) -> None:
    config.accumulation = 2  # with dropout in every part
    cached = program_of(config)
    config.data.features = config.data.validation_features = ""
    whole = program_of(config)
    source = open_source(lists["train"], default_split="train")
    batch = next(iter(evaluation_batches(source, clip_options(config), batch_size=8)))
    folder = FeatureFolder(features["train"])
    tokens = np.stack([folder.read(row, 0) for row in range(8)])
    np.testing.assert_array_equal(folder.labels[:8], batch["label"])

    of_videos, measured = whole.step(with_weights(whole), whole.to_devices(batch))
    of_tokens, from_tokens = cached.step(with_weights(cached), cached.to_devices({**batch, "clip": tokens}))
    for name in ("loss", "top1", "grad_norm"):
        np.testing.assert_allclose(from_tokens[name], measured[name], rtol=1e-5, err_msg=name)
    before = traverse_util.flatten_dict(encoder().variables["params"], sep="/")
    expected = traverse_util.flatten_dict(jax.device_get(of_videos.params), sep="/")
    for path, value in traverse_util.flatten_dict(jax.device_get(of_tokens.params), sep="/").items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-4, atol=1e-6, err_msg=path)
        assert (value != before[path]).any() == path.startswith(TRAINED_PATHS), path


@pytest.mark.slow
def test_bfloat16_tokens_give_the_logits_to_their_rounding(
    config: ConfigDict, features: dict[str, pathlib.Path]
) -> None:
    program, variables, folder = program_of(config), encoder().variables, FeatureFolder(features["train"])
    tokens = np.stack([folder.read(row, 0) for row in range(8)])
    exact, rounded = (program.token_logits(variables, each) for each in (tokens, tokens.astype(jnp.bfloat16)))
    assert 0 < np.abs(exact - rounded).max() < 2**-8 * np.abs(exact).max()


def test_a_run_from_features_ends_as_a_whole_model(
    config: ConfigDict, tmp_path: pathlib.Path, lists: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(config, tmp_path / "run")
    assert result.completed
    assert "17 tokens of each of 2 frames, float32" in capsys.readouterr().out
    # Features were evaluated in the run, videos are here, with what its checkpoint holds.
    trained = motion_vit.load(tmp_path / "run")
    assert evaluate_checkpoint(trained, lists["validation"]).top1 == pytest.approx(result.top1)
    found = by_path(trained)
    for path, value in by_path(encoder()).items():
        assert (found[path] != value).any() == path.split("/")[1].startswith(TRAINED_PATHS), path


@pytest.mark.slow
def test_an_interrupted_run_from_features_ends_as_one_that_was_not(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    run(config, tmp_path / "whole")
    assert not run(config, tmp_path / "parts", max_steps=2).completed
    moved = tmp_path / "moved"
    shutil.copytree(config.data.features, moved)  # a run knows features by their content
    config.data.features = str(moved)
    assert run(config, tmp_path / "parts").completed
    expected = variables_of(tmp_path / "whole")
    for path, value in variables_of(tmp_path / "parts").items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial_weights": ""}, r"computed with other weights of the encoder .* .--config\.initial_weights=DIR"),
        ({"data.size": 24}, r"of other clips:\n  data\.size: 32 there, 24 here"),
        ({"data.mean": (0.5, 0.5, 0.5)}, r"of other clips:\n  data\.mean: \[0\.45, 0\.45, 0\.45\] there"),
        ({"model.options.heads": 4}, r"of another encoder:\n  heads: 2 there, 4 here"),
        ({"model.options.frozen": "none"}, r"the model trains its encoder .*--config\.model\.options\.frozen=spatial"),
        ({"model.options.attention": "joint", "model.options.frozen": "none"}, r"data\.features: .*attention='joint'"),
        ({"model.name": "small"}, r"data\.features: a SmallNetwork has no encoder of single frames"),
        ({"evaluation.clips": 2}, r"of 1 x 1 views of each video, .* make the features with --clips 2 --crops 1"),
        ({"data.features": "nowhere"}, r"there are no features in nowhere: it does not exist"),
    ],
)
def test_features_that_are_not_those_of_the_run_are_refused(
    config: ConfigDict, tmp_path: pathlib.Path, change: dict[str, object], message: str
) -> None:
    register_small_network()
    if "model.name" in change:
        config.model.options = {}
    for name, value in change.items():
        set_field(config, name, value)
    with pytest.raises(UserError, match=message):
        run(config, tmp_path)
    assert not (tmp_path / "checkpoints" / "1").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("augmentation.mixup", 0.8),
        ("augmentation.erasing", 0.25),
        ("augmentation.rand_augment", "rand-m7-n4-mstd0.5-inc1"),
        ("augmentation.flip", "on"),
        ("augmentation.repeats", 2),
        ("distillation.teachers", ("teacher",)),
        ("loss.correspondence.walk", 0.1),
    ],
)
def test_what_needs_pixels_is_refused_with_features(config: ConfigDict, name: str, value: object) -> None:
    set_field(config, name, value)
    with pytest.raises(UserError, match=rf"config field {name} is .*, which needs the pixels of clips"):
        validate_fields(config)


def test_features_of_videos_without_features_of_training_are_refused(config: ConfigDict) -> None:
    config.data.features = ""
    with pytest.raises(UserError, match=r"data\.validation_features is given, but data\.features is empty"):
        validate_fields(config)


def test_labels_that_differ_are_named(
    config: ConfigDict, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    header, first, *rest = lists["train"].read_text().splitlines()
    others = [row.split(",")[1] for row in rest if row.split(",")[1] != first.split(",")[1]]
    absolute = [f"{lists['train'].parent / first.split(',')[0]},{others[0]}"]
    absolute += [f"{lists['train'].parent / row.split(',')[0]},{row.split(',')[1]}" for row in rest]
    changed = tmp_path / "train.csv"
    changed.write_text("\n".join([header, *absolute]) + "\n")
    config.data.train = str(changed)
    with pytest.raises(UserError, match=rf"is '{first.split(',')[1]}' there and '{others[0]}' here"):
        run(config, tmp_path / "run")
    changed.write_text("\n".join([header, *absolute[:-1]]) + "\n")
    with pytest.raises(UserError, match="24 videos there, 23 here"):
        run(config, tmp_path / "run")


def replace(file: pathlib.Path, content: bytes) -> None:
    """Writes a new file of the name: the old one may be mapped into memory."""
    file.unlink()
    file.write_bytes(content)


def test_a_damaged_file_is_named_when_it_is_read(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    damaged = tmp_path / "features"
    shutil.copytree(config.data.features, damaged)
    config.data.features = str(damaged)
    (file,) = damaged.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    replace(file, content)
    with pytest.raises(UserError, match=r"features-00000\.safetensors cannot be used: it has other content .*Remove"):
        run(config, tmp_path / "run")
    replace(file, content[:-1000])
    with pytest.raises(UserError, match=r"features-00000\.safetensors cannot be used: .*[Rr]emove"):
        FeatureFolder(damaged).read(0, 0)
