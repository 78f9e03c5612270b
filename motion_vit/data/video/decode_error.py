"""The error of a video that cannot be decoded, also for what no library should raise."""

import contextlib
from collections.abc import Iterator

from motion_vit.data.video.encoded_video import EncodedVideo, video_name
from motion_vit.errors import UserError


class VideoDecodeError(UserError):
    """Error of a video that is missing, broken, or shorter than it claims to be.

    Attributes:
      name: the path or the name of the video.
      reason: cause of the error, in words.
    """

    def __init__(self, video: EncodedVideo, reason: str):
        """Builds the message from the video's name and the reason.

        Args:
          video: the video, or its name.
          reason: cause of the error, in words.
        """
        super().__init__(f"cannot decode the video {video_name(video)}: {reason}")
        self.name = video_name(video)
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoDecodeError"], tuple[str, str]]:
        """Pickles the error by its two arguments, so that worker processes can raise it."""
        return type(self), (self.name, self.reason)


_SHOWN_CHARACTERS = 200


@contextlib.contextmanager
def unexpected_as_decode_error(video: EncodedVideo) -> Iterator[None]:
    """Turns every exception that is no `UserError` into the reason why one video cannot be used.

    Libraries raise what they do not document for files that nobody has foreseen, and one of these must not cost the
    others. What ends a program, such as `KeyboardInterrupt`, passes.

    Args:
      video: what is read inside the `with` block, or its name.

    Raises:
      VideoDecodeError: in place of the unexpected exception, with its class and message.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise VideoDecodeError(video, "there is not enough memory for it (MemoryError)") from error
    except Exception as error:
        raise VideoDecodeError(
            video,
            f"unexpected {_described(error)}. This is a fault of the library or of one that it uses: please report it, "
            "with the file",
        ) from error


def _described(error: Exception) -> str:
    """Returns the class of an exception and the first line of its message."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0][:_SHOWN_CHARACTERS]}"
