"""Folders of transformers become classifiers with their options, labels and preprocessing, or say why they do not."""

import json
import shutil

import goldens
import jax
import numpy as np
import pytest
import torch
from huggingface_folders import CONFIGS, LABELS, PROCESSOR, weights_of, write_folder

from motion_vit import UserError
from motion_vit.interop.importing.huggingface_folder import is_hugging_face_folder, read_hugging_face_folder
from motion_vit.models.options import model_options


@pytest.fixture(name="folders", scope="module")
def _folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    return {name: write_folder(folder / name, name) for name in CONFIGS}


def copied(folder, target, **changes):
    """A copy of a folder whose `config.json` has other fields."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.fast_cases("timesformer")
@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_those_of_transformers(name, folders):
    files = {"videomae": "videomae_hf_tiny", "timesformer": "huggingface/timesformer_tiny", "vivit": "vivit/hf_tiny"}
    golden = goldens.load(files[name])
    video = goldens.videomae_video()
    if "video_seed" in golden:
        video = goldens.seeded_video(int(golden["video_seed"]), tuple(golden["video_shape"]))
    found = read_hugging_face_folder(folders[name])
    assert found.report.complete
    trained = found.trained
    logits = jax.jit(trained.model.apply)(trained.variables, jax.numpy.asarray(video))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-5, atol=1e-5)


def test_options_labels_and_preprocessing_are_those_of_the_folder(folders, tmp_path):
    folder = copied(folders["videomae"], tmp_path / "x", layer_norm_eps=1e-7, num_attention_heads=4)
    trained = read_hugging_face_folder(folder).trained
    options = model_options(trained.model)
    assert {name: options[name] for name in ("heads", "norm_epsilon", "head_norm_epsilon", "mlp_ratio")} == {
        "heads": 4,
        "norm_epsilon": 1e-7,
        "head_norm_epsilon": 1e-5,
        "mlp_ratio": 4.0,
    }
    assert trained.label_names == tuple(LABELS.values())
    assert trained.config.model.name == "videomae_tiny"
    data = trained.config.data
    assert (tuple(data.mean), tuple(data.std)) == (tuple(PROCESSOR["image_mean"]), tuple(PROCESSOR["image_std"]))
    assert (data.frames, data.size, data.channel_order) == (8, 64, "rgb")


def test_labels_are_in_the_order_of_their_numbers_and_told_apart(folders, tmp_path):
    labels = {str(number): "same" if number in (2, 7) else f"act {number}" for number in reversed(range(10))}
    names = read_hugging_face_folder(copied(folders["videomae"], tmp_path / "x", id2label=labels)).trained.label_names
    assert (names[0], names[2], names[7], names[9]) == ("act 0", "same (2)", "same (7)", "act 9")


@pytest.mark.parametrize("form", ["shards", "bin"])
def test_weights_may_lie_in_several_files_and_in_those_of_torch_save(form, folders, tmp_path):
    whole = read_hugging_face_folder(folders["timesformer"]).trained
    if form == "shards":
        folder = write_folder(tmp_path / "x", "timesformer", shards=3)
    else:
        folder = copied(folders["timesformer"], tmp_path / "x")
        (folder / "model.safetensors").unlink()
        tensors = {name: torch.from_numpy(array) for name, array in weights_of("timesformer").items()}
        torch.save(tensors, folder / "pytorch_model.bin")
    found = read_hugging_face_folder(folder).trained
    jax.tree.map(np.testing.assert_array_equal, found.variables, whole.variables)


def test_pixels_may_be_scaled_and_shifted_before_they_are_normalised(folders, tmp_path):
    folder = copied(folders["timesformer"], tmp_path / "x")
    processor = PROCESSOR | {"rescale_factor": 2 / 255, "offset": True, "image_mean": 0.0, "image_std": [1, 1, 1]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    trained = read_hugging_face_folder(folder).trained
    pixels = np.arange(3, dtype=np.uint8).reshape(1, 1, 1, 1, 3) * 127
    np.testing.assert_allclose(trained.preprocess(pixels), pixels * (2 / 255) - 1, rtol=1e-6, atol=1e-6)


def test_colours_are_as_transformers_feeds_them_where_the_authors_turned_them(tmp_path):
    weights = weights_of("timesformer")
    weights["classifier.weight"] = np.zeros((174, 96), np.float32)
    weights["classifier.bias"] = np.zeros(174, np.float32)
    labels = {str(number): f"act {number}" for number in range(174)}
    folder = write_folder(tmp_path / "x", "timesformer", weights=weights, id2label=labels)
    found = read_hugging_face_folder(folder)
    assert (found.trained.config.data.channel_order, found.trained.config.data.sampling) == ("rgb", "segment")
    assert any("datasets of 174 classes as blue, green, red" in note for note in found.notes)


def test_without_a_file_of_preprocessing_the_authors_is_taken_and_said(tmp_path):
    found = read_hugging_face_folder(write_folder(tmp_path / "x", "videomae", processor=None))
    assert tuple(found.trained.config.data.std) == (0.229, 0.224, 0.225)
    assert "there is no preprocessor_config.json" in found.notes[0]


def test_pretrained_weights_get_a_classifier_that_starts_at_random_and_say_so(tmp_path):
    weights = {
        name: array
        for name, array in weights_of("videomae").items()
        if not name.startswith(("classifier.", "fc_norm."))
    }
    weights |= {"mask_token": np.zeros((1, 1, 48), np.float32), "videomae.layernorm.weight": np.ones(96, np.float32)}
    changes = {"architectures": ["VideoMAEForPreTraining"], "use_mean_pooling": False, "id2label": None}
    found = read_hugging_face_folder(write_folder(tmp_path / "x", "videomae", weights=weights, **changes))
    assert found.report.complete
    assert set(found.report.anew) == {"head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias"}
    assert any("no classifier, and it starts at random" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            "holds BertForMaskedLM, an architecture that is not supported.* timesformer, videomae, vivit",
        ),
        (
            {"hidden_act": "gelu_new"},
            "its hidden_act is 'gelu_new', and this library has such networks with 'gelu' alone",
        ),
        ({"use_mean_pooling": False}, "its use_mean_pooling is False"),
        ({"num_hidden_layers": "2"}, "its num_hidden_layers is '2', but must be a whole number above 0"),
        ({"image_size": [64, 32]}, r"its image_size is \[64, 32\]"),
        ({"layer_norm_eps": None}, "its layer_norm_eps is None, but must be a number"),
        ({"id2label": {"0": "a", "2": "b"}}, "its id2label must map the numbers from 0 on"),
        ({"id2label": {"0": "a", "1": "b"}}, "the numbers of classes do not agree"),
        ({"num_hidden_layers": 3}, "the weights do not fit VideoMAE"),
        ({"num_hidden_layers": 10**9}, "depth"),
    ],
)
def test_what_is_not_supported_is_said(changes, message, folders, tmp_path):
    with pytest.raises(UserError, match=message):
        read_hugging_face_folder(copied(folders["videomae"], tmp_path / "x", **changes))


@pytest.mark.parametrize(
    "index", ["{}", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 1}}', "{"]
)
def test_an_index_names_files_beside_it(index, folders, tmp_path):
    folder = copied(folders["videomae"], tmp_path / "x")
    (folder / "model.safetensors").rename(folder / "model.safetensors.index.json")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match="is no index of files of weights"):
        read_hugging_face_folder(folder)


def test_a_folder_without_weights_says_which_it_looked_for(folders, tmp_path):
    folder = copied(folders["videomae"], tmp_path / "x")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no weights: neither model\.safetensors nor pytorch_model\.bin"):
        read_hugging_face_folder(folder)


def test_only_a_folder_of_transformers_is_one(folders, tmp_path):
    assert is_hugging_face_folder(folders["videomae"])
    assert not is_hugging_face_folder(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"format": "motion_vit"}')
    assert not is_hugging_face_folder(tmp_path)
