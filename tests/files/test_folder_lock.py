import errno
import fcntl
import json
import multiprocessing
import os
import pathlib
import signal
import socket
from multiprocessing.connection import Connection

import pytest

from motion_vit import UserError
from motion_vit.files.folder_lock import LOCK_FILE, locked_folder


def hold(folder: pathlib.Path, pipe: Connection) -> None:
    """Takes the lock, says so and keeps it."""
    with locked_folder(folder, "training"):
        pipe.send("held")
        pipe.recv()


def test_who_comes_second_is_told_who_is_there(tmp_path: pathlib.Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, there), daemon=True)
    process.start()
    assert here.recv() == "held"
    holder = f"process {process.pid} on {socket.gethostname()} .training since 20"
    with pytest.raises(UserError, match=holder), locked_folder(tmp_path, "training"):
        pass
    # However the holder ends, nothing stale is left.
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with locked_folder(tmp_path, "training") as note:
        assert note == ""
        assert json.loads((tmp_path / LOCK_FILE).read_text())["process"] == os.getpid()


def test_it_can_be_taken_again_after_it_was_given_back(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with locked_folder(tmp_path, "training"):
            pass


@pytest.mark.parametrize("said", ["", "not JSON", "[]", '{"process": "x"}', "\0" * 100, "9" * 5000])
def test_a_damaged_file_still_locks(said: str, tmp_path: pathlib.Path) -> None:
    message = r"process(.*) is writing into .* Wait until it has ended"
    with locked_folder(tmp_path, "training"):
        (tmp_path / LOCK_FILE).write_text(said)
        with pytest.raises(UserError, match=message), locked_folder(tmp_path, "training"):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_it_is_said(
    number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked_folder(tmp_path, "training") as note:
        assert "has no locks" in note
