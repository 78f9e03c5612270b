"""The error of a video that cannot be decoded."""

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
