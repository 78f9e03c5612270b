"""Videos on their way: the bytes that arrive, in whatever pieces, are the file's, and never more than allowed."""

import asyncio
import contextlib
import errno
import io
import random
from collections.abc import AsyncIterator, Callable

import pytest
from running_server import BOUNDARY, form, part

from motion_vit.errors import UserError
from motion_vit.serving.question import FIELDS
from motion_vit.serving.refusal import RefusedRequestError
from motion_vit.serving.upload import Upload

FORM = f'multipart/form-data; boundary="{BOUNDARY}"'


def receive(body: bytes, kind: str, most: int, piece: Callable[[], int], file: io.BytesIO) -> Upload:
    upload = Upload(file, kind, most)

    async def pieces() -> AsyncIterator[bytes]:
        start = 0
        while start < len(body):
            end = start + piece()
            yield body[start:end]
            start = end

    asyncio.run(upload.receive(pieces()))
    return upload


@pytest.mark.parametrize("seed", range(20))
def test_what_arrives_in_any_pieces_is_the_file(seed: int) -> None:
    rng = random.Random(seed)
    marks = [b"\r\n", b"--", BOUNDARY.encode(), b"\r\n--" + BOUNDARY.encode()[:-1], b"\0", rng.randbytes(30)]
    # Whoever makes a form chooses a boundary that is not in the file.
    video = b"".join(rng.choices(marks, k=rng.randrange(200))).replace(BOUNDARY.encode(), BOUNDARY[1:].encode())
    fields = {"top": "3", "start": "0.5"} if seed % 2 else {}
    file = io.BytesIO()
    whole = form(video, name="a b.mp4", **fields)
    most = rng.choice([1, 7, 64, 10_000])
    upload = receive(whole, FORM, len(video) or 1, lambda: rng.randint(1, most), file)
    assert file.getvalue() == video
    assert (upload.name, upload.fields, upload.size) == ("a b.mp4", list(fields.items()), len(video))
    plain = io.BytesIO()
    assert receive(whole, "video/mp4", len(whole), lambda: rng.randint(1, most), plain).fields == []
    assert plain.getvalue() == whole


@pytest.mark.parametrize("seed", range(10))
def test_never_more_is_written_than_is_allowed(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.randint(1, 2000)
    for kind, body in (("", bytes(most + 1)), (FORM, form(bytes(most + 1)))):
        file = io.BytesIO()
        with pytest.raises(RefusedRequestError, match=f"more than the {most} bytes") as refused:
            receive(body, kind, most, lambda: rng.randint(1, 500), file)
        assert refused.value.status == 413
        assert len(file.getvalue()) <= most
    # What stands around the video in a form is bounded, too.
    with pytest.raises(RefusedRequestError) as refused:
        receive(bytes(10**6), FORM, most, lambda: 1000, io.BytesIO())
    assert refused.value.status in (400, 413)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_forms_are_refused_with_a_sentence_or_taken(seed: int) -> None:
    rng = random.Random(seed)
    whole = bytearray(part('name="top"', b"3") + form(b"video" * 20))
    for _ in range(rng.randint(1, 6)):
        start = rng.randrange(len(whole))
        kind = rng.randrange(3)
        if kind == 0:
            whole[start] = rng.randrange(256)
        elif kind == 1:
            del whole[start : start + rng.randint(1, 20)]
        else:
            whole[start:start] = rng.choice([b"\r\n", b"--", BOUNDARY.encode(), b'"', b";", rng.randbytes(5)])
    # What is no refusal with a sentence fails the test.
    with contextlib.suppress(UserError):
        upload = receive(bytes(whole), FORM, 1000, lambda: rng.randint(1, 50), io.BytesIO())
        assert {name for name, _ in upload.fields} <= set(FIELDS)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RefusedRequestError, match="no space") as refused:
        receive(b"video", "", 100, lambda: 5, Full())
    assert refused.value.status == 507
