"""The endings of file names that are taken for videos where a folder is looked through."""

import os

# Containers that FFmpeg reads and cameras, editors and downloads write.
_VIDEO_ENDINGS = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob"}
    | {".webm", ".wmv"}
)


def has_video_ending(path: str | os.PathLike[str]) -> bool:
    """Tells if a file is taken for a video by its ending, in small or capital letters. Hidden files never are.

    Args:
      path: the file, which is not opened.
    """
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _VIDEO_ENDINGS
