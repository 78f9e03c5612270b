"""Downloads over HTTP(S): whole or not at all, whatever the server, the connection and the disk do."""

import hashlib
import http.server
import pathlib
import threading
from collections.abc import Iterator

import pytest
from full_disk import files_of_at_most
from hub_server import HubState, hub_server

from motion_vit import UserError
from motion_vit.zoo import https_download
from motion_vit.zoo.https_download import DownloadError, download

CONTENT = bytes(range(256)) * 400
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(name="hub")
def _hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubState]:
    monkeypatch.setattr(https_download, "_PAUSE", 0.0)
    with hub_server() as hub:
        hub.files["a.pth"] = CONTENT
        yield hub


def address(hub: HubState, name: str = "a.pth") -> str:
    return f"{hub.endpoint}/content/{name}"


def files(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


def test_a_file_is_there_whole_and_alone(hub: HubState, tmp_path: pathlib.Path) -> None:
    download(address(hub), tmp_path / "new" / "a.pth", sha256=HASH)
    assert (tmp_path / "new" / "a.pth").read_bytes() == CONTENT
    assert files(tmp_path / "new") == {"a.pth"}
    download(address(hub), tmp_path / "new" / "a.pth")
    assert len(hub.downloads()) == 1


def test_a_cut_connection_is_taken_up_where_it_was_cut(hub: HubState, tmp_path: pathlib.Path) -> None:
    hub.cuts, hub.cut_after = 2, 30_000
    download(address(hub), tmp_path / "a.pth", sha256=HASH[:8])
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    assert [part for _, part in hub.downloads()] == ["", "bytes=30000-", "bytes=60000-"]


def test_what_has_come_is_kept_for_the_next_process(hub: HubState, tmp_path: pathlib.Path) -> None:
    hub.cuts, hub.cut_after = 100, 0
    with pytest.raises(DownloadError, match="the connection was cut"):
        download(address(hub), tmp_path / "a.pth")
    hub.cuts, hub.cut_after = 1, 50_000
    hub.requests.clear()
    download(address(hub), tmp_path / "a.pth", sha256=HASH)
    assert [part for _, part in hub.downloads()] == ["", "bytes=50000-"]


def test_a_file_that_has_changed_meanwhile_is_not_joined_with_the_old_one(
    hub: HubState, tmp_path: pathlib.Path
) -> None:
    (tmp_path / ".a.pth.unfinished").write_bytes(b"old")
    download(address(hub), tmp_path / "a.pth")  # nothing says of which content the beginning is
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    assert [part for _, part in hub.downloads()] == [""]


def test_of_a_file_of_another_hash_nothing_is_kept(hub: HubState, tmp_path: pathlib.Path) -> None:
    hub.sent_instead = b"x" * 10
    with pytest.raises(
        UserError, match=rf"its SHA-256 is {hashlib.sha256(b'x' * 10).hexdigest()}, .* {HASH}\. Nothing"
    ):
        download(address(hub), tmp_path / "a.pth", sha256=HASH)
    assert files(tmp_path) == set()


def test_a_missing_file_is_not_asked_for_again(hub: HubState, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DownloadError, match=r"the server answers 404"):
        download(address(hub, "b.pth"), tmp_path / "b.pth")
    assert len(hub.requests) == 1


def test_a_server_that_is_not_there_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https_download, "_PAUSE", 0.0)
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/a\.pth: .*refused"):
        download("http://127.0.0.1:9/a.pth", tmp_path / "a.pth")


def test_a_file_that_is_too_large_is_refused_before_it_comes(hub: HubState, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="has 102400 bytes, and 1000 are the most"):
        download(address(hub), tmp_path / "a.pth", most_bytes=1000)
    assert files(tmp_path) == set()


def test_a_full_disk_leaves_nothing_behind(hub: HubState, tmp_path: pathlib.Path) -> None:
    with files_of_at_most(40_000), pytest.raises(UserError, match=r"a\.pth cannot be written: .* Make room"):
        download(address(hub), tmp_path / "a.pth")
    assert files(tmp_path) == set()


def test_a_file_that_does_not_fit_the_disk_is_refused_before_it_comes(
    hub: HubState, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https_download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="102400 bytes are to come, and 1000 are free"):
        download(address(hub), tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()


def test_only_encrypted_addresses_are_read(tmp_path: pathlib.Path) -> None:
    for url in ("http://example.org/a.pth", "ftp://example.org/a.pth", "file:///etc/passwd"):
        with pytest.raises(UserError, match="no address that begins with https://"):
            download(url, tmp_path / "a.pth")


def test_a_redirection_is_followed_but_not_to_what_is_no_web_address(hub: HubState, tmp_path: pathlib.Path) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", address(hub) if self.path == "/good" else "http://example.org/a.pth")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        start = f"http://127.0.0.1:{server.server_port}"
        try:
            download(f"{start}/good", tmp_path / "a.pth", sha256=HASH)
            with pytest.raises(UserError, match=r"example\.org/a\.pth is no address"):
                download(f"{start}/bad", tmp_path / "b.pth")
        finally:
            server.shutdown()
            thread.join()
