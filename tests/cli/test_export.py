"""`motion-vit export`: what it writes, says and returns."""

import json

import pytest
from exported import write_emim_model
from small_trained_model import small_trained_model

from motion_vit import cli
from motion_vit.interop.exporting import verification
from motion_vit.interop.exporting.formats import FORMATS, WEIGHT_DTYPES
from motion_vit.interop.exporting.verification import Verification
from motion_vit.training.checkpoints.weights_folder import write_weights_folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "weights"
    options = {"widths": (16, 16, 32, 32), "depths": (1, 1, 1, 1)}
    write_weights_folder(folder, small_trained_model(name="resnet18_tiny", **options))
    return folder


def found(max_difference):
    return Verification("onnx", "onnxruntime 1.2.3", max_difference, 0.001, 2.5, 0.1, 0.2)


@pytest.mark.fast_cases("0.0001-0-*")
@pytest.mark.parametrize(("difference", "status", "word"), [(0.0001, 0, "agree with"), (0.5, 1, "DIFFER from")])
def test_the_exit_status_says_whether_the_logits_agree(
    weights, tmp_path, capsys, monkeypatch, difference, status, word
):
    monkeypatch.setattr(verification, "verify", lambda folder: found(difference))
    command = [
        "export",
        "--checkpoint",
        str(weights),
        "--format",
        "safetensors",
        "--out",
        str(tmp_path / "out"),
        "--verify",
    ]
    assert cli.main(command) == status
    output = capsys.readouterr().out
    assert f"logits of onnxruntime 1.2.3 {word} JAX's: largest difference {difference:.2g}, tolerance 0.001" in output
    assert "model.safetensors: 0.2 MB" in output


@pytest.mark.slow
def test_weights_can_be_stored_small(tmp_path, capsys):
    weights, out = write_emim_model(tmp_path / "weights"), tmp_path / "out"
    assert (
        cli.main(["export", str(weights), "--format", "huggingface", "--dtype", "int8-weights", "--out", str(out)]) == 0
    )
    assert json.loads((out / "config.json").read_text())["weights_dtype"] == "int8-weights"
    assert "model.safetensors: 0.8 MB, weights in int8-weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "tflite", "--dtype", "bfloat16"], "has no weights of bfloat16"),
        (["--format", "tflite", "--batch", "symbolic"], "give --batch 1"),
        (["--format", "safetensors", "--batch", "2"], "leave out --batch"),
        (["--format", "safetensors", "--input", "uint8"], "no program that could take uint8 or give logits"),
        (
            ["--format", "torch", "--output", "probabilities"],
            "no program that could take float32 or give probabilities",
        ),
        (["--format", "stablehlo", "--page"], "--page is for --format onnx"),
        (["--format", "stablehlo", "--which", "best"], "holds one state of the weights"),
    ],
)
def test_mistakes_are_named(weights, arguments, message, tmp_path, capsys):
    assert cli.main(["export", str(weights), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_checkpoint_is_named(tmp_path, capsys):
    assert cli.main(["export", str(tmp_path / "none"), "--format", "stablehlo", "--out", str(tmp_path / "out")]) == 2
    assert "there is no checkpoint in" in capsys.readouterr().err


def test_help_names_every_format_and_form_of_weights(capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    words = set(capsys.readouterr().out.replace(",", " ").replace(";", " ").split())
    assert words >= {*FORMATS, *WEIGHT_DTYPES}


@pytest.mark.parametrize("batch", ["0", "many"])
def test_a_batch_is_a_number_or_symbolic(batch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "somewhere", "--format", "stablehlo", "--out", str(tmp_path / "out"), "--batch", batch])
    assert "--batch" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("option", [[], ["--checkpoint"]], ids=["by position", "by option"])
def test_the_checkpoint_is_given_as_to_the_other_commands(weights, tmp_path, option):
    assert cli.main(["export", *option, str(weights), "--format", "safetensors", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("given", [[], ["one", "--checkpoint", "other"]], ids=["none", "two"])
def test_one_checkpoint_is_exported(tmp_path, capsys, given):
    assert cli.main(["export", *given, "--format", "safetensors", "--out", str(tmp_path / "out")]) == 2
    assert "export takes one checkpoint: give --checkpoint DIR, once." in capsys.readouterr().err
