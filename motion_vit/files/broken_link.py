"""Describes links that lead nowhere, which systems report as files that do not exist."""

import errno
import os


def broken_link(path: str | os.PathLike[str]) -> str:
    """Describes where a symbolic link leads, if that is nowhere.

    Args:
      path: comes from outside.

    Returns:
      A clause to continue "it is ..."; "" for everything that is no link or leads somewhere.
    """
    try:
        if not os.path.islink(path):
            return ""
        os.stat(path)
    except ValueError:
        return ""  # no file can have this name
    except OSError as error:
        target = os.readlink(path)
        if error.errno == errno.ELOOP:
            return f"a link that leads in a circle, to {target}"
        return f"a broken link, to {target}: {os.strerror(error.errno or errno.ENOENT).lower()}"
    return ""
