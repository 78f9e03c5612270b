"""Published weights by name, wherever a checkpoint is asked for: from a cache that is filled by hand, or not at all."""

import dataclasses
import logging
import pathlib

import chex
import numpy as np
import pytest
from flax import serialization, traverse_util
from hub_server import hub_server
from huggingface_folders import LABELS, write_folder
from small_trained_model import small_trained_model

import motion_vit
from motion_vit import UserError, cli
from motion_vit.interop.exporting.pytorch import TORCH_FILE, export_torch
from motion_vit.interop.families.vivit import scenic_arrays
from motion_vit.interop.files import hub_library
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.checkpoints.model_description import description_of
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.zoo import load as zoo_load
from motion_vit.zoo.table import Dataset, PublishedWeights

SHARED = {"data": "ten", "licence": "MIT", "commercial": True, "source": "a page"}
CLIPS = {"channel_order": "bgr", "mean": (0.5,) * 3, "std": (0.25,) * 3, "sampling": "dense", "stride": 3}
FILE = PublishedWeights(
    id="file",
    format="torch",
    model="videomae_tiny",
    options={"frames": 4, "image_size": 32, "depth": 1},
    preprocessing=CLIPS,
    url="https://127.0.0.1:9/file.pth",
    top1=77.5,
    clips=4,
    crops=3,
    unverified=("the moon is made of cheese",),
    **{**SHARED, "commercial": False, "licence": "CC-BY-NC-4.0"},
)
FOLDER = PublishedWeights(
    id="folder", format="huggingface", model="videomae_tiny", preprocessing=CLIPS, repository="a/b", **SHARED
)


@pytest.fixture(name="zoo", autouse=True)
def _zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """A zoo of two rows, and its cache."""
    monkeypatch.setattr(zoo_load, "published_weights", lambda: {"file": FILE, "folder": FOLDER})
    for module in ("load", "table"):
        monkeypatch.setattr(f"motion_vit.zoo.{module}.datasets", lambda: {"ten": Dataset("Ten", 10)})
    monkeypatch.setenv("MOTION_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache" / "weights"


def torch_file(tmp_path: pathlib.Path) -> pathlib.Path:
    export_torch(small_trained_model(name="videomae_tiny", depth=1), tmp_path, dtype="float32")
    return tmp_path / TORCH_FILE


def test_a_file_in_the_cache_is_a_model_with_the_rows_preprocessing_and_all_is_said(
    zoo: pathlib.Path, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = torch_file(tmp_path)
    (zoo / "file").mkdir(parents=True)
    source.rename(zoo / "file" / "file.pth")
    with caplog.at_level(logging.WARNING):
        trained = motion_vit.load("file")
    expected = small_trained_model(name="videomae_tiny", depth=1)
    chex.assert_trees_all_equal(trained.variables["params"], expected.variables["params"])
    data = trained.config.data
    assert {name: data[name] for name in CLIPS} == CLIPS
    assert (data.frames, data.size) == (4, 32)
    for said in (
        "of the licence CC-BY-NC-4.0",
        "FORBIDS commercial use",
        "not verified: the moon is made of cheese",
        "motion-vit evaluate --checkpoint file --data DATA --clips 4 --crops 3; published are 77.5 % top-1 on Ten",
    ):
        assert said in caplog.text


def test_a_file_of_flax_in_the_cache_is_a_model_and_the_row_names_its_classes(
    zoo: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"frames": 4, "image_size": 32, "depth": 1}
    model = motion_vit.create_model("vivit_tiny", num_classes=51, **options)
    variables = {
        path: np.full(shape.shape, 0.25, np.float32)
        for path, shape in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()
    }
    tree = traverse_util.unflatten_dict(scenic_arrays(model, variables), sep="/")
    row = dataclasses.replace(
        FILE,
        format="flax",
        model="vivit_tiny",
        options=options,
        data="hmdb51",
        url="https://127.0.0.1:9/checkpoint",
    )
    monkeypatch.setattr(zoo_load, "published_weights", lambda: {"file": row})
    for module in ("load", "table"):
        monkeypatch.setattr(f"motion_vit.zoo.{module}.datasets", lambda: {"hmdb51": Dataset("HMDB51", 51)})
    (zoo / "file").mkdir(parents=True)
    (zoo / "file" / "checkpoint").write_bytes(serialization.msgpack_serialize({"optimizer": {"target": tree}}))
    trained = motion_vit.load("file")
    assert trained.label_names[25] == "pour"
    chex.assert_trees_all_equal(traverse_util.flatten_dict(trained.variables, sep="/"), variables)


def test_a_folder_in_the_cache_has_labels_and_the_rows_preprocessing(zoo: pathlib.Path) -> None:
    write_folder(zoo / "folder", "videomae")
    trained = motion_vit.load("folder")
    assert trained.label_names == tuple(LABELS.values())
    assert trained.config.data.channel_order == "bgr"
    assert motion_vit.load(zoo / "folder").config.data.channel_order == "rgb"


def test_a_file_is_downloaded_into_the_cache(
    zoo: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with hub_server() as hub:
        hub.files["file.pth"] = torch_file(tmp_path).read_bytes()
        row = PublishedWeights(**{**vars(FILE), "url": f"{hub.endpoint}/content/file.pth"})
        monkeypatch.setattr(zoo_load, "published_weights", lambda: {"file": row})
        motion_vit.load("file")
        motion_vit.load("file")
        assert len(hub.downloads()) == 1
    assert (zoo / "file" / "file.pth").is_file()


def test_without_a_network_it_is_said_what_to_download_and_where_to_put_it(zoo: pathlib.Path) -> None:
    with pytest.raises(UserError) as raised:
        motion_vit.load("file")
    assert str(raised.value) == (
        "the weights file cannot be downloaded: https://127.0.0.1:9/file.pth is not in the cache, and HF_HUB_OFFLINE "
        f"is set.\nOr download https://127.0.0.1:9/file.pth where there is a network, and put it into {zoo / 'file'}."
    )


def test_without_the_library_of_the_hub_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_library.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'motion_vit\[hub\]' installs it\.\nOr download the files of"):
        motion_vit.load("folder")
    with pytest.raises(UserError, match=r"pip install 'motion_vit\[hub\]'"):
        motion_vit.load("hf:a/b")


def test_a_damaged_file_is_refused_and_named(zoo: pathlib.Path) -> None:
    (zoo / "file").mkdir(parents=True)
    (zoo / "file" / "file.pth").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(UserError, match=r"file\.pth cannot be read as a PyTorch checkpoint"):
        motion_vit.load("file")


def test_an_unknown_name_leads_to_the_nearest() -> None:
    with pytest.raises(UserError, match=r"there is no checkpoint in foldr.*Did you mean 'folder'\?"):
        motion_vit.load("foldr")


def test_a_folder_of_this_name_comes_first(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_weights_folder("file", small_trained_model(name="timesformer_tiny", depth=1))
    assert motion_vit.load("file").config.model.name == "timesformer_tiny"


def test_one_state_of_weights_leaves_no_choice(zoo: pathlib.Path) -> None:
    write_folder(zoo / "folder", "videomae")
    for choice in ({"which": "best"}, {"ema": True}):
        with pytest.raises(UserError, match="folder holds one state of the weights"):
            motion_vit.load("folder", **choice)


def test_commands_take_names(zoo: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(zoo / "folder", "videomae")
    arguments = ["export", "--checkpoint", "folder", "--format", "safetensors", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert motion_vit.load(tmp_path / "out").label_names == tuple(LABELS.values())
    assert cli.main([*arguments[:2], "fold", *arguments[3:-1], str(tmp_path / "other")]) == 2
    assert "Did you mean 'folder'?" in capsys.readouterr().err


def test_the_name_of_a_repository_stays_in_the_recipe_that_is_given_away() -> None:
    trained = small_trained_model()
    for given, kept in (("hf:owner/name", "hf:owner/name"), ("/home/somebody/run", "run"), ("folder", "folder")):
        trained.config.initial_weights = given
        assert description_of(trained)["recipe"]["initial_weights"] == kept
