"""The numbers that bound a server: places, bytes, seconds, and the names that it answers to."""

import dataclasses
from collections.abc import Mapping

from motion_vit.errors import UserError
from motion_vit.ranges import Number, Range, Whole, problems

MOST_CONCURRENCY = 256
"""Videos that a server can be told to classify at once."""

SETTING_RANGES: Mapping[str, Range] = {
    "port": Whole(0, 65535),
    "concurrency": Whole(1, MOST_CONCURRENCY),
    "queue": Whole(0, 10_000),
    "max_upload": Whole(1, 2**40),
    "time_limit": Number(0.1, 86_400),
}
"""Setting -> what it may be."""


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
      host: address to listen at; by default that of this machine alone.
      port: port to listen at; 0 for any that is free.
      concurrency: videos that are decoded and classified at once.
      queue: requests that wait for that, their uploads included; more are refused.
      max_upload: bytes that a video may have.
      time_limit: seconds from the headers of a request to its answer.
      allowed_hosts: names besides those of this machine that a request may be addressed to. Where there are none, and
        the server listens at other addresses than loopback, any name is taken.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    concurrency: int = 1
    queue: int = 16
    max_upload: int = 100_000_000
    time_limit: float = 60.0
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          UserError: one is out of range.
        """
        if found := problems(dataclasses.asdict(self), SETTING_RANGES):
            raise UserError(f"serve: {found[0]}.")

    @property
    def places(self) -> int:
        """Requests that are taken at once, running and waiting."""
        return self.concurrency + self.queue
