"""Local paths, told from the addresses of buckets and web servers, and from what is no path."""

import os
import pathlib
import re

from motion_vit.errors import UserError

# `pathlib` makes `gs:/bucket` of `gs://bucket`. A single letter is a drive, not a scheme, and what has a dot is a file.
# `tfds:/folder:train` is a set of TensorFlow Datasets in a local folder.
_ADDRESS = re.compile(r"(?!tfds:/(?!/))([A-Za-z][A-Za-z0-9+-]+):/{1,3}(?!/)")

# A page of a repository of models, but not of data sets; the names of repositories are `hf:owner/name` here.
_HUB_PAGE = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?!datasets/|spaces/|docs/)([\w.-]+/[\w.-]+)")

_MOUNTED_BY = {
    "gs": "gcsfuse",
    "s3": "mount-s3 (Mountpoint for Amazon S3)",
    "az": "blobfuse2",
    "abfs": "blobfuse2",
    "hdfs": "the NFS gateway of HDFS",
}


def path_text(path: str | os.PathLike[str], what: str) -> str:
    """Checks that a path is one, and no object in its place.

    Args:
      path: name of a file or folder.
      what: what a message says it names, such as "the video".

    Returns:
      The path as text.

    Raises:
      UserError: it is of another kind.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise UserError(f"{what} is given as {type(path).__name__}, but must be a path: a text or a pathlib.Path.")
    return text


def local_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Checks that a path names something on a file system of this machine.

    Args:
      path: name of a file or folder, which need not exist.

    Returns:
      The path.

    Raises:
      UserError: it is no path, is empty, has a NUL character, or is an address such as `gs://bucket/folder`.
    """
    text = path_text(path, "a file or folder")
    if not text or "\0" in text:
        raise UserError(f"{text!r} is no path; give the name of a file or folder.")
    refuse_address(text)
    return pathlib.Path(text)


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Refuses the address of a bucket or a server; any other text is let pass.

    Args:
      path: what may be one; the name of something that exists is none.

    Raises:
      UserError: it is one, with what to do instead.
    """
    text = os.fspath(path)
    found = _ADDRESS.match(text)
    if found and not os.path.lexists(text):
        scheme = found[1].lower()
        if scheme == "file":
            way = "give the path itself, such as /folder/name"
        elif scheme in _MOUNTED_BY:
            way = f"mount the bucket, for example with {_MOUNTED_BY[scheme]}, and give the path of the mount"
        elif page := _HUB_PAGE.match(text):
            way = f"a model of the Hugging Face hub is given as hf:{page[1]}, and any file is to be downloaded"
        else:
            way = "download it, or mount the server, and give the local path"
        raise UserError(f"{text} is an address, and only local paths are read and written: {way}.")
