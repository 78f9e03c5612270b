"""Hugging Face folders and weights folders as exports: read back by the library, and described for people."""

import dataclasses
import json

import chex
import numpy as np
import pytest
import safetensors
import yaml
from huggingface_folders import weights_of
from small_trained_model import small_trained_model

import motion_vit
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.interop.exporting.huggingface import export_huggingface, transformers_form
from motion_vit.interop.exporting.model_card import model_card
from motion_vit.interop.exporting.safetensors_folder import export_safetensors
from motion_vit.training.checkpoints.model_description import description_of
from motion_vit.training.checkpoints.weight_dtypes import compress, expand
from motion_vit.training.checkpoints.weights_folder import write_config
from motion_vit.training.inference.preprocessing import preprocessing_of

EVALUATION = {"top1": 0.9125, "top5": 0.99, "videos": 400, "data": 'validation: "best".csv', "clips": 3, "crops": 1}


def front_matter(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize("export", [export_safetensors, export_huggingface])
@pytest.mark.parametrize("dtype", ["float32", "int8-weights"])
def test_the_folder_is_loaded_by_this_library(export, dtype, tmp_path):
    trained = dataclasses.replace(
        small_trained_model(name="uniformer_tiny", depths=(1, 1, 1, 1)), evaluation=EVALUATION
    )
    entry = export(trained, tmp_path, dtype=dtype)
    write_config(tmp_path, {**description_of(trained, dtype), "export": entry})
    assert (tmp_path / entry["file"]).is_file()
    loaded = motion_vit.load(tmp_path)
    chex.assert_trees_all_equal(loaded.variables, expand(compress(trained.variables, dtype)))
    assert loaded.label_names == trained.label_names
    assert loaded.evaluation == EVALUATION
    assert json.loads((tmp_path / "config.json").read_text())["export"] == entry


@pytest.mark.fast_cases("videomae_tiny")
@pytest.mark.parametrize("name", ["videomae_tiny", "timesformer_tiny"])
def test_what_transformers_has_is_written_in_its_form_and_comes_back_whole(name, tmp_path):
    trained = dataclasses.replace(small_trained_model(name=name), evaluation=EVALUATION)
    trained.config.data.sampling, trained.config.data.stride = "dense", 7
    folder = tmp_path / "card"
    export_model(trained, "huggingface", folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == name.removesuffix("_tiny")
    assert (config["num_frames"], config["image_size"], config["id2label"]["3"]) == (4, 32, "class 3")
    with safetensors.safe_open(folder / "model.safetensors", framework="np") as file:
        assert set(file.keys()) == set(weights_of(config["model_type"]))
        assert file.metadata() == {"format": "pt"}
    loaded = motion_vit.load(folder)
    chex.assert_trees_all_equal(loaded.variables["params"], trained.variables["params"])
    assert (loaded.label_names, loaded.evaluation, loaded.step) == (trained.label_names, EVALUATION, trained.step)
    assert loaded.config.data.stride == 7
    assert "AutoModelForVideoClassification" in (folder / "README.md").read_text()
    transformers = pytest.importorskip("transformers", reason="its own reader is not installed")
    model = transformers.AutoModelForVideoClassification.from_pretrained(folder).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 32, 32, 3), dtype=np.uint8)
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)([list(pixels[0])], return_tensors="pt")
    logits = loaded.model.apply(loaded.variables, loaded.preprocess(pixels))
    np.testing.assert_allclose(model(**inputs).logits.detach().numpy(), logits, atol=1e-5)


def test_damage_of_a_folder_in_transformers_form_is_noticed(tmp_path):
    export_model(small_trained_model(name="timesformer_tiny", depth=1), "huggingface", tmp_path / "card")
    weights = tmp_path / "card" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(motion_vit.UserError, match="the weights are damaged"):
        motion_vit.load(tmp_path / "card")


@pytest.mark.parametrize(
    ("name", "options", "order", "dtype"),
    [
        ("videomae_tiny", {"placement": "lg"}, "rgb", "float32"),
        ("videomae_tiny", {"layer_scale": 0.1}, "rgb", "float32"),
        ("timesformer_tiny", {"temporal_attention": "cost_volume"}, "rgb", "float32"),
        ("timesformer_tiny", {"attention": "space_only"}, "rgb", "float32"),
        ("timesformer_tiny", {"motion_module": "m2a"}, "rgb", "float32"),
        ("timesformer_tiny", {"input_adapter": "motion_prompt"}, "rgb", "float32"),
        ("timesformer_tiny", {}, "bgr", "float32"),
        ("timesformer_tiny", {}, "rgb", "int8-weights"),
        ("small", {}, "rgb", "float32"),
    ],
)
def test_what_transformers_lacks_has_none_of_its_forms(name, options, order, dtype):
    trained = small_trained_model()
    other = dataclasses.replace(trained, model=motion_vit.create_model("timesformer_tiny"))
    assert transformers_form(other, "float16") is not None
    trained = dataclasses.replace(trained, model=motion_vit.create_model(name, **options))
    trained.config.data.channel_order = order
    assert transformers_form(trained, dtype) is None


def test_the_card_tells_the_hub_what_the_model_is_and_how_well_it_does():
    metadata = front_matter(model_card(dataclasses.replace(small_trained_model(), evaluation=EVALUATION)))
    assert metadata["pipeline_tag"] == "video-classification"
    assert metadata["library_name"] == "motion_vit"
    assert metadata["license"] == "unknown"
    (result,) = metadata["model-index"][0]["results"]
    assert result["task"]["type"] == "video-classification"
    assert result["dataset"]["name"] == EVALUATION["data"]
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [
        ("accuracy", 0.9125),
        ("accuracy", 0.99),
    ]


def test_the_card_tells_people_how_to_use_the_model():
    trained = dataclasses.replace(small_trained_model(), evaluation=EVALUATION)
    trained.config.data.channel_order = "bgr"
    card = model_card(trained, "float16")
    assert "| top-1 accuracy | 91.25 % |" in card
    assert 'Measured on 400 videos of validation: "best".csv with 3 clips x 1 crops each' in card
    assert "stored as float16" in card
    assert "the order blue, green, red" in card
    assert "4 frames spread over the whole video" in card
    assert "class 0, class 1" in card


def test_without_an_evaluation_the_card_says_so():
    card = model_card(small_trained_model())
    assert "model-index" not in front_matter(card)
    assert "No accuracy has been reported for these weights" in card


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_card_of_every_format_says_what_its_preprocessing_says(file_format):
    trained = small_trained_model()
    trained.config.data.sampling, trained.config.data.stride, trained.config.data.fps = "dense", 3, 12.5
    trained.config.evaluation.clips, trained.config.evaluation.crops = 4, 3
    card = model_card(trained, file_format=file_format)
    said = preprocessing_of(trained.config, trained.label_names)
    for part, names in {
        "frames": ("tick", "slack", "ticks"),
        "decoding": ("call", "width", "height", "matrix", "range"),
        "resize": ("call", "width", "height"),
        "crop": ("top", "left", "places"),
        "normalisation": ("formula", "mean", "std"),
        "probabilities": ("formula",),
    }.items():
        for name in names:
            assert str(said[part][name]) in card
    assert "4 clips of 4 frames with a stride of 3 at 12.5 ticks a second" in card
    assert "3 squares of 32 x 32 pixels" in card
    assert f"pip install numpy av opencv-python-headless '{FORMATS[file_format].runtime}'" in card
    assert card.startswith("---\n") == (file_format == "huggingface")
