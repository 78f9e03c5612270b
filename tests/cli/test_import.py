"""`motion-vit import`: what it prints, and how it exits."""

import json

import goldens
import numpy as np
import pytest

from motion_vit import cli
from motion_vit.training.checkpoints.load_trained import load_trained


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **goldens.state_dict("uniformer_emim_tiny"))
    return str(path)


def run(capsys, *arguments):
    status = cli.main(["import", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_everything_on_the_command_line_arrives(source, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("\n".join("abcdefghij"))
    status, out, _ = run(
        capsys,
        *(source, "frames=8", "--model", "uniformer_emim_tiny", "--out", tmp_path / "out", "image_size=96"),
        *("--labels", tmp_path / "labels.txt", "--channel-order", "bgr", "--mean", "0.485,0.456,0.406"),
        *("--std", "0.229,0.224,0.225", "--sampling", "dense", "--stride", "8"),
    )
    assert status == 0
    assert "128 loaded, 0 missing, 0 unexpected, 0 misshapen" in out
    assert out.splitlines()[-1] == f"uniformer_emim_tiny in {tmp_path / 'out'}"
    trained = load_trained(tmp_path / "out")
    assert trained.label_names == tuple("abcdefghij")
    data = trained.config.data
    assert (data.frames, data.size, data.channel_order, data.sampling, data.stride) == (8, 96, "bgr", "dense", 8)
    assert (tuple(data.mean), tuple(data.std)) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_a_timesformer_of_other_clips_is_taken_behind_motion_prompts(tmp_path, capsys):
    weights = goldens.state_dict("timesformer_tiny_divided_space_time")
    np.savez(tmp_path / "weights.npz", **{f"model.{name}": value for name, value in weights.items()})
    status, out, _ = run(
        capsys,
        *(tmp_path / "weights.npz", "--model", "timesformer_tiny", "--out", tmp_path / "out", "--resize"),
        *("input_adapter=motion_prompt", "frames=4", "--new", "prompt", "--sampling", "dense", "--stride", "32"),
    )
    assert status == 0
    assert "all names begin with model. in the source" in out
    assert "time_embed (1, 8, 96) in the source, (1, 4, 96) in the model" in out
    assert "started anew, as asked (initial values):\n  vmps.m (1,)\n  vmps.n (1,)" in out
    trained = load_trained(tmp_path / "out")
    assert trained.model.clip_shape == (5, 64, 64, 3)
    assert trained.config.data.frames == 4
    assert trained.config.model.options.input_adapter == "motion_prompt"


def test_json_prints_the_report(source, tmp_path, capsys):
    status, out, _ = run(capsys, source, "--model", "uniformer_emim_tiny", "--out", tmp_path / "out", "--json")
    assert status == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / "import_report.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["window=5"], "a model with window=7"),
        (["windows=5"], "Did you mean 'window'?"),
        (["num_classes=4"], "num_classes is 4, but the weights of"),
        (["frames=8", "frames=9"], "the option 'frames' of a model is given twice"),
        (["--mean", "0.5"], "--mean is '0.5', but must be three numbers"),
        (["--mean", "a,b,c"], "--mean is 'a,b,c', but must be three numbers"),
        (["--std", "0,1,1"], "config field data.std"),
        (["--new", "neck"], "'neck' is no part that can start anew"),
        (["--labels", "absent.txt"], "the label file absent.txt cannot be read"),
        (["--labels", "kinetic600"], "Did you mean 'kinetics600'?"),
        (["--labels", "kinetics600"], "there are 600 label names"),
    ],
)
def test_a_mistake_is_explained_and_nothing_is_written(source, tmp_path, capsys, arguments, message):
    status, out, error = run(capsys, source, *arguments, "--model", "uniformer_emim_tiny", "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["x3d_m_k400", "hf:owner/name", "folder"])
def test_what_is_a_checkpoint_as_it_is_is_not_imported(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text('{"model_type": "videomae"}')
    status, out, error = run(capsys, name, "--model", "x3d_m", "--out", "out")
    assert (status, out) == (2, "")
    assert f"{name} needs no import: --checkpoint, initial_weights and motion_vit.load take it as it is." in error


def test_a_partial_import_says_what_was_left_out(tmp_path, capsys):
    weights = goldens.state_dict("uniformer_emim_tiny")
    weights["extra"] = np.zeros(3, np.float32)
    np.savez(tmp_path / "weights.npz", **weights)
    arguments = (tmp_path / "weights.npz", "--model", "uniformer_emim_tiny", "--out", tmp_path / "out")
    assert run(capsys, *arguments)[0] == 2
    status, out, _ = run(capsys, *arguments, "--partial")
    assert status == 0
    assert "unexpected (the source has them, the model does not):\n  extra (3,)" in out


@pytest.mark.parametrize("place", [1, 3, 5])
def test_a_word_that_is_no_option_of_the_model_is_refused_wherever_it_stands(source, tmp_path, capsys, place):
    arguments = [source, "--model", "uniformer_emim_tiny", "--out", tmp_path / "out"]
    arguments.insert(place, "frames")
    status, _, error = run(capsys, *arguments)
    assert status == 2
    assert "'frames' is not understood; an option of a model is written OPTION=VALUE" in error


def test_a_flag_that_does_not_exist_is_refused_by_the_parser(source, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(capsys, source, "--model", "uniformer_emim_tiny", "--out", tmp_path / "out", "--frames=8")
    assert "unrecognized argument: --frames=8" in capsys.readouterr().err
