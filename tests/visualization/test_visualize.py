"""From a video and a model to files, on tiny models with random weights."""

import dataclasses
import json
import os
import pathlib
import re
import sys
from typing import Any, get_args

import numpy as np
import pytest

import motion_vit.cli.visualization as command
from motion_vit import cli
from motion_vit.data.video.encoding import write_video
from motion_vit.errors import UserError
from motion_vit.models.options import ADAPTER_OPTION
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.recipe.config import default_config
from motion_vit.visualization import integrated_gradients, random_model
from motion_vit.visualization.clip_recording import DEFAULT, What
from motion_vit.visualization.layer_maps import FrameAttention, MotionMap, PatchAttention, PromptMap, ScalarMap
from motion_vit.visualization.output_files import FORMATS
from motion_vit.visualization.visualize import visualize
from motion_vit.zoo import load as loading

LABELS = ("ape", "bee", "cat", "dog", "elk")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Noise that moves to the right, in a video that is wider than high."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 120, 3), np.uint8)
    path = tmp_path_factory.mktemp("video") / "moving.mp4"
    write_video(path, np.stack([np.roll(picture, 4 * frame, axis=1) for frame in range(8)]))
    return path


@pytest.fixture
def trained(small_model) -> Any:
    """Makes a trained model of a small one."""

    def make(family: str, **options: Any) -> TrainedModel:
        small = small_model(family, **options)
        config = default_config()
        config.model.name = family
        config.model.options.update({key: value for key, value in options.items() if key == ADAPTER_OPTION})
        config.data.frames, config.data.size = small.model.frames, small.model.image_size
        return TrainedModel(small.model, small.variables, LABELS, config, step=7)

    return make


def kinds(visualization) -> set[str]:
    return {type(layer_map).__name__ for layer_map in visualization.maps}


def test_all_that_an_emim_model_has_is_shown_in_the_places_of_the_video(trained, video) -> None:
    seen = visualize(trained("uniformer"), video)
    assert kinds(seen) == {"MotionMap", "PatchAttention", "ScalarMap"}
    motion = next(one for one in seen.maps if isinstance(one, MotionMap))
    # The crop of 64 x 64 pixels begins at x = 28; a patch of stage 3 has 16 pixels.
    assert motion.layer == "stage3/block0"
    assert motion.grid.patch_box(0, 0) == (0, 28, 16, 16)
    assert motion.volume is not None
    outside = [[True] * 3, [True, False, False], [True, False, False]]
    assert np.isnan(motion.volume[0, 0, 0, 0]).reshape(3, 3).tolist() == outside
    assert sum(share for _, share in seen.predictions) <= 1
    assert any("prompt" in note for note in seen.notes)


def test_attention_is_given_as_parts_of_an_equal_share(trained, video) -> None:
    seen = visualize(trained("uniformer"), video)
    maps = [one for one in seen.maps if isinstance(one, ScalarMap) and one.title != "Class activation"]
    assert {one.title for one in maps} == {
        "Attention that patches get",
        "Attention of the chosen patch",
        "Attention rollout",
    }
    for one in maps:
        np.testing.assert_allclose(one.values.mean(axis=(1, 2, 3)), 1, rtol=1e-4)
    # The row of the chosen patch of the first frame is that of the whole matrix.
    whole = next(one for one in seen.maps if isinstance(one, PatchAttention))
    row, column = whole.grid.patch_at(*seen.point)
    shares = whole.weights[:, row * whole.grid.columns + column]
    chosen = next(one for one in maps if one.title == "Attention of the chosen patch")
    np.testing.assert_allclose(chosen.values[1:].reshape(len(shares), -1), shares * shares.shape[1], rtol=1e-4)


def test_the_mean_of_a_class_activation_map_is_the_logit_without_its_bias(trained, video) -> None:
    model = trained("uniformer")
    seen = visualize(model, video, classes="bee,cat")
    cam = next(one for one in seen.maps if isinstance(one, ScalarMap) and one.title == "Class activation")
    assert cam.channels == ("bee", "cat", "bee minus cat")
    bee, cat, difference = cam.values.mean(axis=(1, 2, 3))
    assert difference == pytest.approx(bee - cat, abs=1e-4)
    bias = np.asarray(model.variables["params"]["head"]["bias"])
    probabilities = dict(seen.predictions)
    if {"bee", "cat"} <= probabilities.keys():
        ratio = np.log(probabilities["bee"] / probabilities["cat"])
        assert ratio == pytest.approx(difference + bias[1] - bias[2], abs=1e-3)


def test_a_model_whose_logits_are_not_finite_is_shown_with_no_class(trained, video) -> None:
    model = trained("videomae")
    head = model.variables["params"]["head"]
    spoiled = {**head, "bias": np.full_like(head["bias"], np.nan)}
    model = dataclasses.replace(
        model, variables={**model.variables, "params": {**model.variables["params"], "head": spoiled}}
    )
    seen = visualize(model, video, what=["motion", "cam", "grad-cam"])
    assert seen.predictions == ()
    assert "The logits of this clip are NaN or infinite: no class is more probable than another." in seen.notes
    assert not {"Class activation", "Grad-CAM"} & {getattr(one, "title", "") for one in seen.maps}


@pytest.mark.slow
def test_grad_cam_of_a_stage_is_that_of_its_last_block(trained, video) -> None:
    seen = visualize(trained("uniformer"), video, what=["grad-cam"], layers=["stage3"], classes="dog")
    (cam,) = seen.maps
    assert isinstance(cam, ScalarMap)
    assert (cam.layer, cam.channels) == ("stage3/block1_output", ("dog",))
    assert cam.values.min() >= 0


@pytest.mark.slow
def test_integrated_gradients_and_occlusion_are_maps_of_the_clip_itself(trained, video, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(integrated_gradients, "_PANELS", (1,))
    model = trained("uniformer")
    seen = visualize(model, video, what=["integrated-gradients", "occlusion"], layers=["stage3"], classes="bee,cat")
    gradients, drops = seen.maps
    assert isinstance(gradients, ScalarMap)
    assert isinstance(drops, ScalarMap)
    assert [one.title for one in (gradients, drops)] == ["Integrated gradients", "Occlusion"]
    for one in (gradients, drops):
        assert (one.layer, one.channels) == ("clip", ("bee", "cat", "bee minus cat"))
        np.testing.assert_allclose(one.values[2], one.values[0] - one.values[1], atol=1e-3 * one.limits[1])
        assert one.grid.box == seen.clip.view.box
    # Boxes of 3 x 3 pixels, so that there are at most 28 along the 64 of the clip.
    assert gradients.values.shape == (3, 3, 22, 22)
    assert drops.values.shape == (3, 3, 6, 6)
    written = seen.save(tmp_path / "seen", formats=["png", "html", "npz", "gif"])
    assert {"occlusion-clip.png", "integrated-gradients-clip.gif"} <= {file.name for file in written}
    assert '"Integrated gradients"' in (tmp_path / "seen" / "index.html").read_text()


def test_a_timesformer_with_m2a_behind_motion_prompts_shows_attention_over_space_and_time_gates_and_prompts(
    trained, video
) -> None:
    seen = visualize(trained("timesformer", depth=1, motion_module="m2a", input_adapter="motion_prompt"), video)
    over_time = [one for one in seen.maps if isinstance(one, FrameAttention) and one.title == "Attention over time"]
    assert [one.layer for one in over_time] == ["backbone/blocks/block0/temporal_attention"]
    np.testing.assert_allclose(over_time[0].values.sum(axis=-1), 1, rtol=1e-5)
    titles = {one.title for one in seen.maps if isinstance(one, ScalarMap | FrameAttention)}
    assert {"Attention of the class token", "M2A gate", "M2A attention of frames", "Motion prompt"} <= titles
    assert any(isinstance(one, PromptMap) for one in seen.maps)
    assert any("class activation" in note for note in seen.notes)


@pytest.mark.slow
def test_a_videomae_shows_cost_volumes_attention_and_class_activation_on_its_tubelets(trained, video) -> None:
    seen = visualize(trained("videomae"), video)
    motion = next(one for one in seen.maps if isinstance(one, MotionMap))
    assert (motion.layer, motion.grid.clip_frames) == ("blocks/block0", (0, 2, 4))
    attention = next(one for one in seen.maps if isinstance(one, PatchAttention))
    assert (attention.layer, attention.weights.shape) == ("blocks/block1", (2, 27, 27))
    assert {"Attention that patches get", "Class activation"} <= {
        one.title for one in seen.maps if isinstance(one, ScalarMap)
    }


@pytest.mark.slow
def test_a_video_swin_shows_cost_volumes_and_attention_within_its_windows(trained, video) -> None:
    seen = visualize(trained("video_swin"), video)
    motion = next(one for one in seen.maps if isinstance(one, MotionMap))
    assert (motion.layer, motion.grid.clip_frames) == ("stage1/block0", (0, 2, 4))
    received = [one for one in seen.maps if isinstance(one, ScalarMap) and "in their windows" in one.title]
    assert [one.layer for one in received] == ["stage2/block0", "stage2/block1"]
    assert (received[0].grid.rows, received[0].grid.columns) == (3, 3)
    # The mean of the heads, then each. Places beyond the clip take part, and get the rest.
    assert received[0].values.shape == (3, 3, 3, 3)
    assert 0.5 < received[0].values.mean() <= 1


@pytest.mark.slow
def test_an_mvit_shows_the_attention_of_its_class_token_on_the_grid_of_keys(trained, video) -> None:
    seen = visualize(trained("mvit"), video)
    maps = {(one.title, one.layer): one for one in seen.maps if isinstance(one, ScalarMap)}
    pooled = maps["Attention of the class token", "blocks/block0"]
    # The mean of heads and one head; 2 x 2 keys of clips of 32 x 32 pixels, of every second of four frames.
    assert pooled.values.shape == (2, 2, 2, 2)
    assert pooled.grid.clip_frames == (0, 2)
    assert maps["Attention of the class token", "blocks/block1"].values.shape == (3, 2, 4, 4)
    assert ("Attention rollout", "blocks/block0") not in maps
    assert any("class activation" in note for note in seen.notes)


@pytest.mark.slow
def test_a_vivit_shows_cost_volumes_and_attention_within_frames_and_then_of_frames(trained, video) -> None:
    seen = visualize(trained("vivit"), video)
    motion = next(one for one in seen.maps if isinstance(one, MotionMap))
    assert (motion.layer, motion.grid.clip_frames) == ("blocks/block0", (0, 2, 4))
    of_token = [one for one in seen.maps if isinstance(one, ScalarMap) and one.title == "Attention of the class token"]
    assert [one.layer for one in of_token] == ["blocks/block1", "temporal_blocks/block0"]
    assert [one.values.shape for one in of_token] == [(3, 3, 3, 3), (3, 3, 1, 1)]
    assert any("class activation" in note for note in seen.notes)


@pytest.mark.slow
def test_a_vivit_of_factorised_attention_shows_it_over_space_and_time_and_class_activation(trained, video) -> None:
    options = {"pooling": "mean", "placement": "gg"}
    for attention, layer in (("self_attention", "blocks/block1"), ("dot_product", "blocks/block1/attention")):
        seen = visualize(trained("vivit", attention=f"factorised_{attention}", **options), video)
        over_time = [one for one in seen.maps if isinstance(one, FrameAttention)]
        assert over_time[-1].layer == f"{layer}/temporal_attention"
        np.testing.assert_allclose(over_time[0].values.sum(axis=-1), 1, rtol=1e-5)
        assert over_time[0].values.shape[1:] == (9, 3, 3)
        titles = {one.title for one in seen.maps if isinstance(one, ScalarMap)}
        assert {"Attention that patches get", "Class activation"} <= titles
        assert not any(isinstance(one, PatchAttention) for one in seen.maps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"what": ["m2a"]}, "'m2a' is asked for, but the model has none; there is one in models with a motion module"),
        ({"layers": ["stage3/block7"]}, "no intermediate"),
        ({"layers": ["stage1/*"], "what": ["motion"]}, "there is nothing of motion"),
        ({"classes": "cow"}, "no class 'cow'"),
        ({"classes": "ape,bee,cat"}, "given 3"),
        ({"classes": "ape,0"}, "two different ones, not ape,0"),
        ({"point": (10.0, 5.0)}, "sees nothing at y=10, x=5"),
        ({"clip": 2}, "clip 2 is asked for, but 1 clip is spread over the video by the recipe's evaluation.clips"),
        ({"start": 60}, "it has no frame from 60 s"),
        ({"temperature": float("nan")}, "temperature is nan, but must be a number above 0"),
    ],
)
def test_mistakes_are_named(trained, video, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        visualize(trained("uniformer"), video, **arguments)


def test_the_command_writes_every_format(trained, video, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(loading, "load_any", lambda folder, **choice: trained("videomae"))
    out = tmp_path / "seen"
    options = ["--checkpoint", "run", "--out", str(out), "--what", "motion", "--layer", "blocks/block0"]
    assert cli.main(["visualize", *options, "--format", ",".join(FORMATS), str(video)]) == 0
    written = {path.name for path in out.iterdir()}
    pictures = {f"motion-field-blocks-block0.{end}" for end in ("png", "gif", "mp4")}
    assert written == {"index.html", "maps.npz"} | pictures
    assert str(out / "index.html") in capsys.readouterr().out
    with np.load(out / "maps.npz") as arrays:
        about = json.loads(str(arrays["about"]))
        flow = arrays["motion_field/blocks/block0/flow"]
    layer = about["layers"]["motion_field/blocks/block0"]
    assert flow.shape == (3, 2, layer["rows"], layer["columns"], 2)
    # The model sees 24 of 45 columns, from the eleventh on. Each is 64 / 24 pixels of the video, and 8 make a patch.
    assert layer["first_centre"] == pytest.approx([4 * 64 / 24, (11 + 4) * 64 / 24])


def test_the_command_looks_at_the_clip_that_is_asked_for(trained, video, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loading, "load_any", lambda folder, **choice: trained("videomae"))
    times = {}
    for name, choice in {"first": ["--clip", "1", "--clips", "2"], "later": ["--start", "0.1"]}.items():
        out = tmp_path / name
        words = [str(video), "--checkpoint", "run", "--out", str(out), "--what", "motion", "--format", "npz,html"]
        assert cli.main(["visualize", *words, *choice]) == 0
        with np.load(out / "maps.npz") as arrays:
            times[name] = json.loads(str(arrays["about"]))["times"]
        assert {"first": "step 7, clip 1 of 2", "later": "step 7, from 0.1 s"}[name] in (out / "index.html").read_text()
    assert times["later"][0] >= 0.1
    assert tuple(times["first"]) == visualize(trained("videomae"), video, clip=1, clips=2).clip.view.times


def test_the_command_refuses_what_cannot_be(trained, video, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(loading, "load_any", lambda folder, **choice: trained("uniformer"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for arguments, message in (
        ([str(video), "--out", str(tmp_path / "full")], "is not empty"),
        ([str(tmp_path / "broken.mp4"), "--out", str(tmp_path / "new")], "cannot decode the video"),
        ([str(video)], "a VIDEO and --out DIR are needed"),
        ([str(video), "--out", str(tmp_path / "full" / "file" / "in")], "cannot be made"),
        ([str(video), "--out", str(tmp_path / "new"), "--start", "1", "--clip", "1"], "each chooses the part"),
        ([str(video), "--out", str(tmp_path / "new"), "--clips", "3"], "a number from 1 to 3, too"),
        ([str(video), "--out", str(tmp_path / "new"), "--start", "9"], "it has no frame from 9 s"),
        ([str(video), "--out", str(tmp_path / "new"), "frames=4"], "'frames=4' is an option of --model"),
    ):
        assert cli.main(["visualize", *arguments, "--checkpoint", "run"]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    with pytest.raises(SystemExit):
        cli.main(["visualize", str(video), "--checkpoint", "run", "--what", "everything"])
    assert "given 'everything', but expected one of motion" in capsys.readouterr().err


@pytest.mark.parametrize("source", [["--checkpoint", "run"], ["--model", "uniformer_tiny"]])
def test_a_word_that_is_neither_video_nor_option_is_named(source, video, tmp_path, capsys) -> None:
    new = tmp_path / "new"
    flags = [*source, "--out", str(new)]
    several = f"one VIDEO is expected, but these are given: {str(video)!r}, 'frames'. An option of a model is written"
    for words, message in (
        ([str(video), *flags, "frames"], several),
        ([str(video), "frames", *flags], several),
        (["frames", *flags], "the VIDEO 'frames' does not exist. An option of a model is written OPTION=VALUE"),
        (["frames", *source, "--list"], "the VIDEO 'frames' does not exist"),
    ):
        assert cli.main(["visualize", *words]) == 2
        assert message in capsys.readouterr().err
    assert not new.exists()


@pytest.mark.parametrize("in_front", [True, False])
def test_options_of_the_model_stand_before_or_behind_the_video(in_front, video, tmp_path, monkeypatch) -> None:
    asked = []

    def model(name: str, options: object) -> None:
        asked.append(options)
        raise UserError("enough")

    monkeypatch.setattr(random_model, "random_model", model)
    words = ["frames=3", str(video)] if in_front else [str(video), "frames=3"]
    assert cli.main(["visualize", "--model", "timesformer_tiny", *words, "--out", str(tmp_path / "new")]) == 2
    assert asked == [{"frames": 3}]


def test_list_names_the_intermediates_of_a_model_without_a_video(capsys, monkeypatch) -> None:
    options = ["frames=3", "image_size=32", "width=16", "heads=2", "depth=1"]
    command = ["visualize", "--model", "timesformer_tiny", *options, "--list"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "blocks/block0/attention/attention_weights" in printed
    assert "[1, 13, 16]" in printed  # the class token, and 2 x 2 patches of each of the 3 frames
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody_reads:
        monkeypatch.setattr(sys, "stdout", nobody_reads)
        assert cli.main(command) == 141
    monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_other_broken_pipes_are_not_taken_for_a_reader_that_left(monkeypatch) -> None:
    def broken(model: str, options: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(random_model, "random_model", broken)
    with pytest.raises(BrokenPipeError):
        cli.main(["visualize", "--model", "timesformer_tiny", "--list"])


def test_pictures_of_random_weights_say_so_and_long_names_are_cut(trained, video) -> None:
    seen = visualize(trained("uniformer"), video, has_random_weights=True)
    assert seen.heading == "moving.mp4 (random weights)"
    assert "The weights are random" in seen.notes[0]
    assert "<title>moving.mp4 (random weights)</title>" in seen.page()
    assert "(random weights)" in repr(seen)
    assert "(random weights)" not in dataclasses.replace(seen, has_random_weights=False).page()
    seen = dataclasses.replace(seen, video=50 * "a" + ".mp4", has_random_weights=False)
    assert re.fullmatch(r"a{20,30}\.\.\.a{5,15}\.mp4", seen.heading)


def test_the_command_offers_what_the_library_knows() -> None:
    assert get_args(What) == command._WHAT
    assert command._FORMATS == FORMATS
    assert not {"grad-cam", "integrated-gradients", "occlusion"} & set(DEFAULT)
