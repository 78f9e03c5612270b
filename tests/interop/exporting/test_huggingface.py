"""Hugging Face folders and weights folders as exports: read back by the library, and described for people."""

import dataclasses
import json

import chex
import pytest
import yaml
from small_trained_model import small_trained_model

import motion_vit
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.interop.exporting.huggingface import export_huggingface
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
    trained = dataclasses.replace(small_trained_model(name="uniformer_tiny"), evaluation=EVALUATION)
    entry = export(trained, tmp_path, dtype=dtype)
    write_config(tmp_path, {**description_of(trained, dtype), "export": entry})
    assert (tmp_path / entry["file"]).is_file()
    loaded = motion_vit.load(tmp_path)
    chex.assert_trees_all_equal(loaded.variables, expand(compress(trained.variables, dtype)))
    assert loaded.label_names == trained.label_names
    assert loaded.evaluation == EVALUATION
    assert json.loads((tmp_path / "config.json").read_text())["export"] == entry


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
