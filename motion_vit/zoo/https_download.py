"""Downloads a file over HTTPS, whole or not at all; a cut connection is taken up where it was cut.

What has come so far lies in an unfinished file beside the final one, which is renamed at the end. Nothing of it is
looked into here.
"""

import contextlib
import errno
import hashlib
import http.client
import math
import os
import pathlib
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any

from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import make_folder
from motion_vit.files.folder_lock import locked_folder
from motion_vit.zoo.cache import LARGEST_FILE

_PIECE = 1 << 20
_SECONDS = 30
_ATTEMPTS = 5
_PAUSE = 0.5
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_TEMPORARY = (429, 500, 502, 503, 504)


class DownloadError(UserError):
    """Error of a file that could not be downloaded. The message is a clause about the address, without advice."""


def download(url: str, target: pathlib.Path, *, sha256: str = "", most_bytes: int = LARGEST_FILE) -> None:
    """Downloads a file.

    Args:
      url: its address, https; http of this machine alone.
      target: where it is to lie; its folder is made.
      sha256: first digits of the hash that it must have; "" for any.
      most_bytes: the largest size that is taken.

    Raises:
      DownloadError: there is no connection, it was cut again and again, or the server refuses.
      UserError: the file is too large, or has another hash: nothing of it is kept. The disk is full or refuses, or
        another process is downloading into the folder.
    """
    _check_address(url)
    make_folder(target.parent)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with locked_folder(target.parent, "downloading"):
            if target.exists():  # another process was faster
                return
            _fetch(url, unfinished, most_bytes)
            _check_hash(unfinished, url, sha256)
            os.replace(unfinished, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            for file in (unfinished, unfinished.with_suffix(".tag")):
                file.unlink(missing_ok=True)  # which would keep the disk full
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}. Make room on its disk, or check its permissions."
        ) from error


def _fetch(url: str, unfinished: pathlib.Path, most_bytes: int) -> None:
    """Fetches what is missing of a file, in as many connections as it takes while each brings something."""
    failures = 0
    while True:
        before = _size(unfinished)
        try:
            if _fetch_part(url, unfinished, most_bytes):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code not in _TEMPORARY:
                raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
            reason = f"the server answers {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 0 if _size(unfinished) > before else failures + 1
        if failures == _ATTEMPTS:
            raise DownloadError(f"{url}: {reason}")
        time.sleep(_PAUSE * failures)


def _fetch_part(url: str, unfinished: pathlib.Path, most_bytes: int) -> bool:
    """Fetches from where a file ends on; tells if it is whole then."""
    begin, tag = _size(unfinished), unfinished.with_suffix(".tag")
    headers = {"User-Agent": "motion_vit", "Accept-Encoding": "identity"}
    known = tag.read_text(encoding="utf-8") if begin and tag.exists() else ""
    if known:
        # The server sends the whole where the file has changed since.
        headers |= {"Range": f"bytes={begin}-", "If-Range": known}
    request = urllib.request.Request(url, headers=headers)
    with _OPENER.open(request, timeout=_SECONDS) as answer:
        part = (
            _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status == http.HTTPStatus.PARTIAL_CONTENT
            else None
        )
        if part and int(part[1]) != begin:
            raise DownloadError(f"{url}: the server sends another part of the file than it was asked for")
        length = answer.headers.get("Content-Length", "")
        total = int(part[2]) if part else int(length) if length.isdecimal() else None
        begin = begin if part else 0
        _check_size(url, unfinished, total, begin, most_bytes)
        with open(unfinished, "ab" if part else "wb") as file:
            tag.write_text(_strong_tag(answer.headers), encoding="utf-8")
            return _copy(answer, file, url, begin, total, most_bytes)


def _copy(answer: Any, file: IO[bytes], url: str, begin: int, total: int | None, most_bytes: int) -> bool:
    """Copies the rest of an answer into a file; tells if that is all of it."""
    done = begin
    whole = math.ceil(total / _PIECE) if total is not None else None
    with progress_bar(whole, f"downloading {_name(url)}", "megabyte", initial=begin // _PIECE) as bar:
        while piece := answer.read(_PIECE):
            done += len(piece)
            if done > most_bytes:
                break
            file.write(piece)
            bar.update(1)
    if done > most_bytes:
        file.truncate(0)
        raise UserError(f"{url} has more than {most_bytes} bytes, the most that is taken. Nothing of it was kept.")
    return done == total if total is not None else True


def _check_address(url: str) -> None:
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _THIS_MACHINE):
        raise UserError(f"{url} is no address that begins with https://, and others are not read.")


def _check_size(url: str, unfinished: pathlib.Path, total: int | None, begin: int, most_bytes: int) -> None:
    """Refuses a file that is too large for anything, or for the disk, before it comes."""
    if total is None:
        return
    if total > most_bytes:
        raise UserError(
            f"{url} has {total} bytes, and {most_bytes} are the most that is taken. Nothing of it was kept."
        )
    free = shutil.disk_usage(unfinished.parent).free
    if total - begin > free:
        raise OSError(errno.ENOSPC, f"{total - begin} bytes are to come, and {free} are free", str(unfinished))


def _check_hash(unfinished: pathlib.Path, url: str, sha256: str) -> None:
    unfinished.with_suffix(".tag").unlink(missing_ok=True)
    found = file_hash(unfinished) if sha256 else ""
    if not found.startswith(sha256):
        unfinished.unlink()
        raise UserError(
            f"{url} is not the file that it should be: its SHA-256 is {found}, but must begin with {sha256}. Nothing "
            "of it was kept. Try again; if that does not help, the file was replaced, or somebody on the way alters it."
        )


def file_hash(path: pathlib.Path) -> str:
    """Computes the SHA-256 of a file.

    Args:
      path: the file.

    Returns:
      Hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: pathlib.Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _strong_tag(headers: http.client.HTTPMessage) -> str:
    """Returns what names this very content of the file; "" where the server does not say, and resuming is not safe."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else ""


def _name(url: str) -> str:
    return urllib.parse.urlsplit(url).path.rpartition("/")[2]


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but none from https to what others can read and alter."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Checks the new address."""
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise DownloadError(f"{req.full_url}: the server leads to {newurl}, which is not encrypted")
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects)
