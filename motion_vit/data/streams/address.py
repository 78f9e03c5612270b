"""Addresses of streams: HTTP, HTTPS and RTSP."""

import base64
import dataclasses
import re
import urllib.parse

from motion_vit.errors import UserError
from motion_vit.outside_text import visible

SCHEMES = ("http", "https", "rtsp")
"""What addresses may start with."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PASSWORD = re.compile(r"(://)[^/?#]*@")


@dataclasses.dataclass(frozen=True)
class Address:
    """The address of a stream.

    Attributes:
      text: as it was given.
      scheme: one of `SCHEMES`.
      host: name or number.
      port: None for that of the scheme.
      target: path and query.
      user: name for a login; "" for none.
      password: of the user.
    """

    text: str = dataclasses.field(repr=False)
    scheme: str
    host: str
    port: int | None
    target: str
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The address for messages, without user and password."""
        return without_login(self.text)

    @property
    def authorization(self) -> str:
        """The header of HTTP's basic login; "" without a user."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def without_login(text: str) -> str:
    """Leaves user and password out of an address, or of a sentence with addresses."""
    return visible(_PASSWORD.sub(r"\1", text))


def is_address(text: str) -> bool:
    """Tells if a text is an address, of any scheme, and no path."""
    return _SCHEME.match(text) is not None


def parse_address(text: str) -> Address:
    """Reads an address.

    Args:
      text: given by the user, and by nobody else.

    Returns:
      Its parts.

    Raises:
      UserError: it is no address, or of a scheme that is not followed.
    """
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme not in SCHEMES:
        raise UserError(
            f"{without_login(text)} is an address that is not followed; streams are read from http://, https:// and "
            "rtsp:// addresses, files by their path."
        )
    try:
        if any(character.isspace() for character in text) or visible(text) != text or not text.isascii():
            raise ValueError
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UserError(
            f"{without_login(text)} is no complete address: expected {scheme}://HOST:PORT/PATH, in ASCII and without "
            "blanks; write other characters as %20 and the like."
        )
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    unquote = urllib.parse.unquote
    return Address(text, scheme, host, port, target, unquote(parts.username or ""), unquote(parts.password or ""))
