"""Writes the video of a request to a temporary file while it arrives, and never more of it than is allowed."""

import errno
import re
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from motion_vit.outside_text import shortened
from motion_vit.serving.question import LONGEST_VALUE, check_field
from motion_vit.serving.refusal import RefusedRequestError

VIDEO_FIELD = "video"
"""Name of the part of a form that is the video."""

# Of a form beside the video: fields, and the lines around them.
_MOST_FORM_BYTES = 65_536
_LONGEST_NAME = 255
_UNNAMED = "upload"


class Upload:
    """A video on its way.

    Args:
      file: takes the bytes of the video.
      content_type: the header of the request. That of a form has the video as its part `video`; whatever else it says,
        the body is the video.
      most_bytes: bytes that the video may have.

    Attributes:
      name: what the sender calls the file, to be shown and for nothing else.
      fields: names and values of the other parts of a form.
      size: bytes of the video.
    """

    def __init__(self, file: BinaryIO, content_type: str, most_bytes: int) -> None:
        self.name, self.fields, self.size = _UNNAMED, list[tuple[str, str]](), 0
        self._file, self._most_bytes = file, most_bytes
        kind, parameters = parse_options_header(content_type)
        self._form: _Form | None = None
        if kind == b"multipart/form-data":
            self._form = _Form(parameters.get(b"boundary", b""), self._write)

    def check_length(self, declared: str | None) -> None:
        """Refuses what says that it is too long, before any of it is read.

        Args:
          declared: the header Content-Length, a number of at most 20 digits.

        Raises:
          RefusedRequestError: the video would be longer than allowed.
        """
        most = self._most_bytes + (_MOST_FORM_BYTES if self._form else 0)
        if declared is not None and int(declared) > most:
            raise _too_long(self._most_bytes)

    async def receive(self, chunks: AsyncIterator[bytes]) -> None:
        """Takes the body of the request.

        Args:
          chunks: as they arrive.

        Raises:
          RefusedRequestError: it is too long, no form though it says so, or the disk is full.
        """
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            if self._form is None:
                self._write(chunk)
                continue
            if received > self._most_bytes + _MOST_FORM_BYTES:
                raise _too_long(self._most_bytes)
            self._form.take(chunk)
        if self._form is not None:
            self._form.check_complete()
            self.name, self.fields = self._form.name, self._form.fields

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._most_bytes:
            raise _too_long(self._most_bytes)
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise RefusedRequestError(507, "the server has no space for the video; try again later.", 60) from error


class _Form:
    """The parts of a form, read piece by piece.

    Attributes:
      name: of the file.
      fields: names and values of the other parts.
    """

    def __init__(self, boundary: bytes, write: Callable[[bytes], None]) -> None:
        self.name, self.fields = _UNNAMED, list[tuple[str, str]]()
        self._write = write
        self._has_video = self._is_complete = False
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._part = ""
        if not boundary:
            raise _no_form("it names no boundary")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open_part,
                    "on_part_data": self._add_data,
                    "on_part_end": self._close_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _no_form("its boundary is too long") from error

    def take(self, chunk: bytes) -> None:
        """Takes a piece of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _no_form(str(error)) from error

    def check_complete(self) -> None:
        """Refuses a form that was cut off, or has no video."""
        if not self._is_complete:
            raise _no_form("it ends before its last boundary")
        if not self._has_video:
            raise RefusedRequestError(
                400, f"the form has no part {VIDEO_FIELD}; send the file as one, as `curl -F video=@clip.mp4` does."
            )

    def _begin(self) -> None:
        self._headers, self._header, self._value = {}, b"", b""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _open_part(self) -> None:
        _, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._part, self._value = _text(parameters.get(b"name", b"")), b""
        if self._part != VIDEO_FIELD:
            check_field(self._part)
            if len(self.fields) > LONGEST_VALUE:
                raise RefusedRequestError(400, "the form has too many fields.")
            return
        if self._has_video:
            raise RefusedRequestError(400, "the form has several videos; send a request for each.")
        self._has_video = True
        self.name = _file_name(parameters.get(b"filename", b""))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._part == VIDEO_FIELD:
            self._write(data[start:end])
        elif len(self._value) <= LONGEST_VALUE:  # a longer one is refused, however long it is
            self._value += data[start:end]

    def _close_part(self) -> None:
        if self._part != VIDEO_FIELD:
            self.fields.append((self._part, _text(self._value)))

    def _end(self) -> None:
        self._is_complete = True


def _file_name(given: bytes) -> str:
    """Keeps the last part of a name: some programs send whole paths."""
    return shortened(_text(re.split(rb"[\\/]", given)[-1]), _LONGEST_NAME) or _UNNAMED


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _no_form(reason: str) -> RefusedRequestError:
    return RefusedRequestError(400, f"the body is no form of the type multipart/form-data: {reason}.")


def _too_long(most_bytes: int) -> RefusedRequestError:
    return RefusedRequestError(
        413, f"the video has more than the {most_bytes} bytes that this server takes; send a shorter or smaller one."
    )
