"""Repositories of the Hugging Face hub: downloads, refusals, lies and the cache, at a server on this machine."""

import logging
import pathlib
from collections.abc import Iterator

import chex
import pytest
from hub_server import COMMIT, TOKEN, HubState, hub_server
from huggingface_folders import LABELS, write_folder
from small_trained_model import small_trained_model

import motion_vit
from motion_vit import UserError, cli
from motion_vit.interop.files import hub_library
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.zoo.hub import Repository, parse_repository

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_folder(tmp_path_factory.mktemp("hub") / "videomae", "videomae")


def content(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def direct(monkeypatch: pytest.MonkeyPatch, endpoint: str, cache: pathlib.Path) -> None:
    """Has the hub's library ask a server on this machine, with a cache of its own, and no token."""
    import huggingface_hub.constants

    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(cache / "harnesses.json"), raising=False)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture(name="hub")
def _hub(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, folder: pathlib.Path) -> Iterator[HubState]:
    with hub_server() as hub:
        direct(monkeypatch, hub.endpoint, tmp_path / "cache")
        hub.add("owner/videomae", content(folder))
        yield hub


def test_a_repository_is_a_ready_classifier_and_is_downloaded_once(
    hub: HubState, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trained = motion_vit.load("hf:owner/videomae")
    assert trained.label_names == tuple(LABELS.values())
    assert "its licence is on http" in caplog.text
    assert len(hub.downloads()) == 3
    again = motion_vit.load("hf:owner/videomae@main")
    chex.assert_trees_all_equal(trained.variables, again.variables)
    assert len(hub.downloads()) == 3


def test_a_filled_cache_needs_no_network(hub: HubState, monkeypatch: pytest.MonkeyPatch) -> None:
    motion_vit.load("hf:owner/videomae")
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert motion_vit.load("hf:owner/videomae").label_names == tuple(LABELS.values())
    assert not hub.requests
    with pytest.raises(UserError, match=r"config\.json is not in the cache, and HF_HUB_OFFLINE is set\.\nOr download"):
        motion_vit.load("hf:owner/other")


def test_shards_are_all_downloaded(hub: HubState, tmp_path: pathlib.Path) -> None:
    hub.add("owner/shards", content(write_folder(tmp_path / "x", "timesformer", shards=2)))
    assert motion_vit.load(f"hf:owner/shards@{COMMIT}").config.model.name == "timesformer_tiny"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:owner/none", "there is no repository hf:owner/none, or it is private"),
        ("hf:owner/videomae@v9", "has no revision 'v9'"),
        ("hf:owner/private", "there is no repository hf:owner/private, or it is private"),
        ("hf:owner/gated", r"asks for consent to its terms, and a token: read http\S+/owner/gated/tree/main"),
        ("hf:owner/empty", r"has no file config\.json"),
        ("hf:owner/weightless", "has no weights that can be read: none of model.safetensors, model.safetensors.index"),
        ("hf:Sense-X/uniformer_video", "these are loaded by name: uniformer_small_k400_16x8, "),
        ("hf:owner", "is no repository on the Hugging Face hub: write hf:owner/name"),
        ("hf:../../etc", "is no repository"),
    ],
)
def test_what_cannot_be_loaded_is_said(hub: HubState, folder: pathlib.Path, name: str, message: str) -> None:
    files = content(folder)
    hub.private.add("owner/private")
    hub.gated.add("owner/gated")
    for repository in ("owner/private", "owner/gated"):
        hub.add(repository, files)
    hub.add("owner/empty", {"README.md": b"nothing"})
    hub.add("Sense-X/uniformer_video", {"README.md": b"nothing"})
    hub.add("owner/weightless", {"config.json": files["config.json"]})
    with pytest.raises(UserError, match=message):
        motion_vit.load(name)


def test_weights_of_another_architecture_are_refused_before_they_come(hub: HubState, folder: pathlib.Path) -> None:
    config = b'{"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}'
    hub.add("owner/llava", content(folder) | {"config.json": config})
    with pytest.raises(UserError, match="hf:owner/llava holds LlavaForConditionalGeneration, an architecture that is"):
        motion_vit.load("hf:owner/llava")
    assert len(hub.downloads()) == 1


def test_the_name_of_a_repository_without_its_prefix_is_completed() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'hf:owner/name'\?"):
        motion_vit.load("owner/name")


def test_a_token_opens_what_is_private(hub: HubState, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.private.add("owner/private")
    hub.add("owner/private", content(folder))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert motion_vit.load("hf:owner/private").label_names == tuple(LABELS.values())


def test_a_cut_connection_is_taken_up_again(hub: HubState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)  # before it takes it up
    hub.cuts, hub.cut_after = 1, 100_000
    assert motion_vit.load("hf:owner/videomae").label_names == tuple(LABELS.values())
    assert len(hub.downloads()) == 4


def test_of_a_file_of_another_hash_nothing_is_kept(hub: HubState, tmp_path: pathlib.Path) -> None:
    hub.sent_instead = b"{" + b" " * (len(hub.files["owner/videomae/config.json"]) - 1)
    with pytest.raises(UserError, match=r"config\.json is not the file that it should be: .* Nothing of it was kept"):
        motion_vit.load("hf:owner/videomae")
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert [path.name for path in kept if path.parent.name in ("blobs", COMMIT)] == []


def test_a_file_that_is_too_large_is_refused_before_it_comes(hub: HubState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motion_vit.zoo.hub.LARGEST_FILE", 100)
    with pytest.raises(UserError, match="and 100 are the most that is taken"):
        motion_vit.load("hf:owner/videomae")
    assert not hub.downloads()


def test_a_hub_that_is_not_there_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    direct(monkeypatch, "http://127.0.0.1:9", tmp_path)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between its attempts
    with pytest.raises(UserError, match=r"the hub cannot be reached \(.*\)\.\nOr download the files of http"):
        motion_vit.load("hf:owner/videomae")
    assert caplog.messages == []


def test_an_export_is_uploaded_and_loaded_from_there(
    hub: HubState, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = small_trained_model(name="videomae_tiny", depth=1, width=16, heads=2)
    write_weights_folder(tmp_path / "weights", trained)
    arguments = ["export", str(tmp_path / "weights"), "--format", "huggingface", "--push", "owner/mine"]
    assert cli.main([*arguments, "--out", str(tmp_path / "a")]) == 2
    assert "--push needs a token that may write" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert cli.main([*arguments, "--out", str(tmp_path / "b")]) == 0
    assert f"{hub.endpoint}/owner/mine" in capsys.readouterr().out
    back = motion_vit.load("hf:owner/mine")
    chex.assert_trees_all_equal(back.variables["params"], trained.variables["params"])
    assert (back.label_names, back.step) == (trained.label_names, trained.step)


def test_a_library_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_library.importlib.metadata, "version", lambda _: "0.36.0")
    with pytest.raises(UserError, match=r"huggingface_hub 0\.36\.0 is too old, and 2\.4 or later is needed"):
        motion_vit.load("hf:owner/videomae")


def test_a_repository_is_written_as_it_is_read() -> None:
    assert str(parse_repository("hf:a/b")) == "hf:a/b"
    assert parse_repository("hf:a/b@refs/pr/1") == Repository("a/b", "refs/pr/1")
