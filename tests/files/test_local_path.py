import pathlib

import pytest
from ml_collections import ConfigDict

import motion_vit
from motion_vit import UserError
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.sources.open_source import open_source
from motion_vit.files.local_path import local_path, refuse_address
from motion_vit.training.loop.loop import train

ADDRESSES = [
    *("gs://bucket/run", "gs:/bucket/run", "s3://bucket", "http://example.org/a.csv", "https://example.org/a.csv"),
    *("az://box/x", "hdfs://node:9000/x", "file:///etc/passwd", "memory://x", "tcp://1.2.3.4:5"),
]


@pytest.mark.parametrize("address", [*ADDRESSES, *(pathlib.Path(address) for address in ADDRESSES[:3])])
def test_an_address_is_refused_with_a_way_out(address: str) -> None:
    with pytest.raises(UserError, match=r"is an address, and only local paths .* written: (mount|download|give)"):
        local_path(address)


def test_the_address_of_a_local_file_asks_for_the_path() -> None:
    with pytest.raises(UserError, match=r"written: give the path itself, such as /folder/name\.$"):
        local_path("file:///videos/a.mp4")


@pytest.mark.parametrize(
    "path", ["runs/a", "/tmp/x", "a:b", "data:train", "C:/videos", "recipe.py:/data", "./gs:/x", "~/runs", "x y//z"]
)
def test_a_local_path_is_taken(path: str) -> None:
    assert local_path(path) == pathlib.Path(path)


def test_a_folder_that_looks_like_an_address_can_be_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gs:" / "run").mkdir(parents=True)
    assert local_path("gs:/run") == pathlib.Path("gs:/run")


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="is no path"):
        local_path(path)


def test_nothing_is_made_of_an_address(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uses = [
        lambda: train(ConfigDict(), "gs://bucket/run"),
        lambda: motion_vit.load("gs://bucket/run"),
        lambda: open_source("s3://bucket/prepared:train", default_split="train"),
        lambda: read_dataset("list", "https://example.org/videos", {}),
        lambda: render_dataset("gs://bucket/videos", splits={"train": 10}),
    ]
    for use in uses:
        with pytest.raises(UserError, match="only local paths are read and written"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_tensorflow_datasets_is_no_address() -> None:
    refuse_address("tfds:/data/ucf101/ucf101_1/2.0.0:train[:80%]")
    with pytest.raises(UserError, match="is an address"):
        refuse_address("tfds://server/ucf101:train")


@pytest.mark.parametrize("end", ["", "/", "/tree/main", "/resolve/main/model.safetensors"])
def test_a_page_of_the_hub_leads_to_the_name_of_its_repository(end: str) -> None:
    with pytest.raises(UserError, match=r"a model of the Hugging Face hub is given as hf:owner/na\.me, and"):
        local_path(f"https://huggingface.co/owner/na.me{end}")
    with pytest.raises(UserError, match="download it, or mount the server"):
        local_path(f"https://huggingface.co/datasets/owner/name{end}")
