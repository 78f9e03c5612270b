"""Every export is a whole folder that says what it holds and what it must give, or it is not there."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from small_trained_model import small_trained_model

import motion_vit
from motion_vit.errors import UserError
from motion_vit.interop.exporting import export
from motion_vit.interop.exporting.export import PROGRAM_EXPORTERS, WEIGHTS_EXPORTERS, check_request, export_model
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.interop.exporting.interface import Interface
from motion_vit.interop.exporting.self_check import draw_clips, read_self_check
from motion_vit.interop.exporting.verification import verify
from motion_vit.training.checkpoints.weight_dtypes import compress, expand


def test_a_folder_describes_itself_and_what_it_must_give(tmp_path):
    trained = small_trained_model()
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        description = export_model(trained, "stablehlo", tmp_path / "export", batch=3, dtype="float16")
    assert {path.name for path in (tmp_path / "export").iterdir()} == {
        "README.md",
        "config.json",
        "example.py",
        "model.stablehlo",
        "preprocessing.json",
        "self_check.json",
    }
    assert json.loads((tmp_path / "export" / "config.json").read_text()) == json.loads(json.dumps(description))
    entry = description["export"]
    assert (entry["format"], entry["batch"], entry["dtype"]) == ("stablehlo", 3, "float16")
    assert entry["input"] == {"name": "clips", "shape": (3, 4, 32, 32, 3), "dtype": "float32"}
    assert entry["output"] == {"name": "logits", "shape": (3, 10), "dtype": "float32"}
    assert description["label_names"] == list(trained.label_names)

    check = read_self_check(tmp_path / "export")
    clips = draw_clips(check.seed, check.shape)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(trained.model.apply)(expand(compress(trained.variables, "float16")), clips)
    np.testing.assert_allclose(check.outputs, expected, rtol=1e-4, atol=1e-5)
    assert math.isclose(check.tolerance, 1e-4 * np.abs(expected).max(), rel_tol=1e-3)


def test_the_clips_of_a_check_are_what_its_file_says():
    expected = np.random.default_rng(3).standard_normal((1, 2, 4, 4, 3), dtype="float32")
    np.testing.assert_array_equal(draw_clips(3, (1, 2, 4, 4, 3)), expected)


@pytest.mark.slow
def test_a_program_can_take_pixels_and_give_probabilities_and_its_files_say_so(tmp_path):
    trained = small_trained_model(name="uniformer_tiny", depths=(1, 1, 1, 1))
    trained.config.data.channel_order, trained.config.data.mean = "bgr", (0.2, 0.5, 0.6)
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        export_model(trained, "stablehlo", tmp_path / "export", interface=Interface("uint8", "probabilities"))
        check = read_self_check(tmp_path / "export")
        pixels = draw_clips(check.seed, check.shape, "uint8")
        logits = trained.model.apply(trained.variables, trained.preprocess(pixels))
    np.testing.assert_array_equal(pixels, np.random.default_rng(check.seed).integers(0, 256, check.shape, np.uint8))
    np.testing.assert_allclose(check.outputs, jax.nn.softmax(logits), rtol=1e-4)
    assert 1e-6 <= check.tolerance < 1e-3
    entry = json.loads((tmp_path / "export" / "config.json").read_text())["export"]
    said = json.loads((tmp_path / "export" / "preprocessing.json").read_text())
    assert entry["input"] == {"name": "clips", "shape": [None, 4, 32, 32, 3], "dtype": "uint8"}
    assert (said["input"]["dtype"], said["input"]["normalised"]) == ("uint8", False)
    assert entry["output"]["name"] == said["output"]["name"] == "probabilities"
    assert said["probabilities"]["average"] == "logarithms of probabilities"
    assert "The program does this: give it RGB from 0 to 255" in (tmp_path / "export" / "README.md").read_text()
    verification = verify(tmp_path / "export")
    assert verification.agrees
    assert str(verification).startswith("probabilities of jax")


def test_every_format_is_written_as_weights_or_as_a_program_and_only_programs_have_a_batch():
    assert {*WEIGHTS_EXPORTERS, *PROGRAM_EXPORTERS} == FORMATS.keys()
    assert {name for name, chosen in FORMATS.items() if chosen.batches == "any"} == WEIGHTS_EXPORTERS.keys()


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    def fail(trained, folder, *, dtype):
        (folder / "model.safetensors").write_text("half")
        raise UserError("the model holds an operation")

    monkeypatch.setattr(export, "WEIGHTS_EXPORTERS", {"safetensors": fail})
    with pytest.raises(UserError, match="holds an operation"):
        export_model(small_trained_model(), "safetensors", tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"file_format": "coreml"}, "unknown format 'coreml'. The formats are: safetensors, .*tflite"),
        ({"file_format": "tflite", "dtype": "bfloat16"}, "no weights of bfloat16. Give --dtype float32 or float16"),
        ({"file_format": "torch", "dtype": "int8-weights"}, "no weights of int8-weights"),
        ({"file_format": "tflite", "batch": "symbolic"}, "give --batch 1"),
        ({"file_format": "safetensors", "batch": 2}, "leave out --batch"),
        ({"file_format": "torch", "interface": Interface("uint8")}, "no program that could take uint8 or give logits"),
        (
            {"file_format": "huggingface", "interface": Interface(output="probabilities")},
            "leave out --input and --output",
        ),
        ({"file_format": "tflite", "page": True}, "a browser runs no tflite: --page is for --format onnx"),
        ({"file_format": "stablehlo", "batch": 0}, "batch is 0, but must be a whole number from 1 to"),
    ],
)
def test_what_a_format_cannot_do_is_said_at_once(arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        check_request(out=tmp_path / "export", **arguments)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty \(it holds 'mine.txt'\)"):
        check_request("stablehlo", tmp_path)


@pytest.mark.parametrize(
    ("file_format", "extra"), [("onnx", "onnx"), ("savedmodel", "tensorflow"), ("tflite", "tflite"), ("torch", "torch")]
)
def test_a_missing_package_comes_with_what_to_install(file_format, extra, tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"pip install 'motion_vit\[{extra}\]'"):
        check_request(file_format, tmp_path / "export")


def test_a_model_in_bfloat16_is_given_room_for_its_roundings_where_it_stays_one():
    model = motion_vit.create_model("uniformer_tiny", dtype="bfloat16")
    trained = dataclasses.replace(small_trained_model(), model=model)
    stays = export._tolerance("stablehlo", trained, "float32")
    assert stays > export._tolerance("onnx", trained, "float32")
