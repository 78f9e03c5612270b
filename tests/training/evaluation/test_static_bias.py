"""What static bias says of models that are known to look at the background, and of planted answers."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict
from planted_evaluation import planted_evaluation

from motion_vit import UserError, cli
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.still_frames import still_frames
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES, render_clip
from motion_vit.data.sources.open_source import open_source
from motion_vit.models.registry import create_model, register_model
from motion_vit.models.video_model import Backbone
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.evaluation.frame_scores import ScoredFrames, choose_frames, make_still_bank
from motion_vit.training.evaluation.static_bias import StaticBias, evaluate_static_bias, static_bias
from motion_vit.training.inputs.still_bank import read_still_bank
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.config import default_config

SIZE = 32
BIAS = 0.8


class LookReader(Backbone):
    """Classifies by the nearest of some colours to the mean colour of a clip: it sees no motion."""

    num_classes: int = 10
    frames: int = 4
    image_size: int = SIZE

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        colours = self.param("colours", nn.initializers.zeros, (self.num_classes, 3))
        means = clips.mean(axis=(1, 2, 3))
        return -jnp.square(means[:, None, :] - colours[None]).sum(axis=-1)


def look_reader(frames: int) -> TrainedModel:
    """The model that knows the colours of all looks."""
    register_model("look_reader", LookReader, description="for tests")
    config = default_config()
    config.name, config.model.name = "look_reader", "look_reader"
    config.data.frames, config.data.size = frames, SIZE
    config.evaluation.batch_size = 32
    names = tuple(sorted(MOTION_CLASSES))
    seen = [
        [render_clip("up", seed, frames=1, size=SIZE, look=look).mean(axis=(0, 1, 2)) for seed in range(8)]
        for look in names
    ]
    colours = ((np.mean(seen, axis=1) / 255 - 0.45) / 0.225).astype(np.float32)
    model = create_model("look_reader", num_classes=10, frames=frames, image_size=SIZE)
    return TrainedModel(model, {"params": {"colours": jnp.asarray(colours)}}, names, config, step=0)


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Lists of biased videos."""
    splits = {"train": 16, "validation": 40}
    folder = tmp_path_factory.mktemp("biased")
    return render_dataset(
        folder, splits=splits, size=SIZE, frames=(6, 6), appearance_bias=BIAS, workers=1, progress=False
    )


@pytest.fixture(scope="module")
def training_list(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A list of biased videos to train on, alone."""
    folder = tmp_path_factory.mktemp("training")
    return render_dataset(
        folder, splits={"train": 16}, size=SIZE, frames=(6, 6), appearance_bias=BIAS, workers=1, progress=False
    )["train"]


@pytest.mark.slow
def test_a_model_that_sees_looks_alone_is_told(biased: dict[str, pathlib.Path]) -> None:
    evaluation, bias = evaluate_static_bias(look_reader(4), biased["validation"], batch_size=32)
    assert (bias.videos, bias.classes) == (40, 10)
    assert bias.iid == evaluation.top1 > 0.55
    assert bias.follows_look > 0.6
    assert bias.conflict < 0.2
    # Its answers on SCUBA have nothing to do with labels, and are mostly those on SCUFO.
    assert bias.mean.scuba < 0.3
    assert bias.mean.contrasted <= bias.mean.scuba
    assert {*bias.by_background} == {"texture", "stripes"}


def planted() -> StaticBias:
    """Four videos: SCUBA is right of three, of which SCUFO is right of one."""
    right, wrong = [2.0, 0.0], [0.0, 2.0]
    moving = planted_evaluation([0, 0, 0, 0], [right, right, right, wrong], label_names=("up", "down"))
    still = planted_evaluation([0, 0, 0, 0], [right, wrong, wrong, right], label_names=("up", "down"))
    conflict = planted_evaluation([0, 0, 0, 0], [right, wrong, wrong, [np.nan, 0.0]], label_names=("up", "down"))
    return static_bias(moving, {"stripes": moving}, {"stripes": still}, conflict, ("down",) * 4)


def test_the_contrasted_accuracy_counts_what_motion_alone_explains() -> None:
    bias = planted()
    assert bias.to_dict() == {
        "videos": 4,
        "iid": 0.75,
        "scuba": 0.75,
        "scufo": 0.5,
        "contrasted": 0.5,
        "conflict": 0.25,
        "follows_look": 0.5,
        "by_background": {"stripes": {"scuba": 0.75, "scufo": 0.5, "contrasted": 0.5}},
    }
    table = str(bias)
    assert "static bias on 4 videos (chance 50.0 %)" in table
    assert "stripes       75.00 %  50.00 %     50.00 %" in table


def test_a_model_that_answers_alike_with_and_without_motion_has_no_contrasted_accuracy() -> None:
    one = planted_evaluation([0, 1, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], label_names=("up", "down"))
    bias = static_bias(one, {"stripes": one}, {"stripes": one}, one, ("down", "up", "up"))
    assert bias.mean.scuba == bias.mean.scufo > 0
    assert bias.mean.contrasted == 0


def test_videos_that_one_set_lacks_are_left_out_of_all() -> None:
    whole = planted_evaluation([0, 0], [[1.0, 0.0], [0.0, 1.0]], label_names=("up", "down"))
    scored = whole.scored
    part = dataclasses.replace(
        whole,
        scored=dataclasses.replace(
            scored,
            rows=scored.rows[1:],
            labels=scored.labels[1:],
            logits=scored.logits[1:],
            decode_seconds=scored.decode_seconds[1:],
        ),
    )
    bias = static_bias(whole, {"stripes": whole}, {"stripes": part}, whole, ("down", "down"))
    assert (bias.videos, bias.iid, bias.follows_look) == (1, 0.0, 1.0)


@pytest.mark.slow
def test_a_run_with_still_frames_is_evaluated_by_the_command(
    biased: dict[str, pathlib.Path],
    small_config: ConfigDict,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "jax"))
    small_config.data.train, small_config.data.validation = str(biased["train"]), ""
    small_config.augmentation.still = "batch"
    small_config.epochs, small_config.batch_size = 1, 16
    small_config.optimizer.warmup_epochs = 0
    train(small_config, tmp_path / "run")
    capsys.readouterr()
    lines = biased["validation"].read_text().splitlines()
    some = biased["validation"].with_name("some.csv")
    some.write_text("\n".join(lines[:13]) + "\n")
    evaluate = ["evaluate", "--checkpoint", str(tmp_path / "run"), "--data", str(some), "--static-bias"]
    assert cli.main([*evaluate, "--out", str(tmp_path / "report")]) == 0
    said = capsys.readouterr().out
    assert "static bias on 12 videos (chance 10.0 %)" in said
    assert "texture" in said
    report = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert report["static_bias"]["iid"] == report["top1"]
    assert {"scuba", "scufo", "contrasted", "conflict", "follows_look"} <= {*report["static_bias"]}
    assert cli.main([*evaluate, "--frame-order", "frozen"]) == 2
    assert "leave out --frame-order frozen" in capsys.readouterr().err


def test_data_that_was_not_rendered_here_is_refused(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="rendered without --appearance-bias"):
        evaluate_static_bias(finished_run, lists["validation"])
    foreign = tmp_path / "foreign.csv"
    foreign.write_text(f"path,label\n{next(lists['validation'].parent.rglob('*.mp4'))},up\n")
    with pytest.raises(UserError, match=r"there is no dataset\.json in .*motion-vit render"):
        evaluate_static_bias(finished_run, foreign)
    with pytest.raises(UserError, match="takes the list of rendered videos"):
        evaluate_static_bias(finished_run, tmp_path)
    (tmp_path / "empty.csv").write_text("path,label\n")
    with pytest.raises(UserError, match="has a header and no videos"):
        evaluate_static_bias(finished_run, tmp_path / "empty.csv")


def test_a_bank_holds_whole_frames_of_the_training_videos(training_list: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "banks" / "bank.npz"
    count = make_still_bank(look_reader(1), training_list, path, size=16, frames=1024, per_video=2)
    bank = read_still_bank(path)
    assert bank.shape == (count, 16, 16, 3) == (16, 16, 16, 3)  # the upper half of 32 frames
    source = open_source(training_list, default_split="train")
    options = ClipOptions(frames=1, size=SIZE)
    known = np.concatenate([still_frames(source[row], options, [0, 1], clips=2, size=16) for row in range(16)])
    places = [np.flatnonzero((known == frame).all(axis=(1, 2, 3))) for frame in bank]
    assert all(len(found) == 1 for found in places)
    assert len({int(found[0]) for found in places}) == 16
    with pytest.raises(UserError, match=r"takes clips of 4 frames.*data\.frames=1"):
        make_still_bank(look_reader(4), training_list, path, size=16)


def test_frames_are_drawn_once_from_the_part_of_the_highest_scores() -> None:
    scores = np.random.default_rng(0).uniform(size=100)
    frames = ScoredFrames(np.arange(100), np.zeros(100, int), scores)
    chosen = choose_frames(frames, 20, (0.5, 1.0), np.random.default_rng(0))
    assert len({*chosen.rows.tolist()}) == 20
    assert chosen.scores.min() >= np.median(scores)
    np.testing.assert_array_equal(chosen.scores, scores[chosen.rows])
    assert len(choose_frames(frames, 1024, (0.5, 1.0), np.random.default_rng(0)).rows) == 50
