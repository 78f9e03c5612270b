"""Downloads from the Hugging Face hub, with its own library: its cache, its tokens, its `HF_*` variables.

Files are downloaded by name; nothing in them is executed, and no code of a repository is fetched.
"""

import contextlib
import dataclasses
import logging
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from motion_vit.errors import UserError
from motion_vit.interop.families.huggingface import PROCESSOR_FILE
from motion_vit.interop.files.hub_library import HubError, hub_library
from motion_vit.interop.importing.huggingface_folder import INDEX_SUFFIX, WEIGHTS_FILES, check_architecture, shards
from motion_vit.training.checkpoints.model_description import CONFIG_FILE, HUB_PREFIX
from motion_vit.zoo.cache import LARGEST_FILE, OFFLINE_VARIABLE
from motion_vit.zoo.https_download import file_hash

_REPOSITORY = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Repository:
    """A state of a repository on the hub.

    Attributes:
      name: `owner/name`.
      revision: a branch, a tag or a commit.
    """

    name: str
    revision: str = "main"

    def address(self, file: str = "") -> str:
        """Names where a person finds a file, or the list of files.

        Args:
          file: name of the file; "" for the list.
        """
        place = f"resolve/{self.revision}/{file}" if file else f"tree/{self.revision}"
        return f"{_endpoint()}/{self.name}/{place}"

    def __str__(self) -> str:
        """Writes the name as `motion_vit.load` takes it."""
        return f"{HUB_PREFIX}{self.name}" + ("" if self.revision == "main" else f"@{self.revision}")


class MissingFileError(HubError):
    """Error of a file that a repository does not have."""


def is_hub_name(text: str) -> bool:
    """Tells if a text names a repository on the hub, rightly or not: it begins with `hf:`."""
    return text.startswith(HUB_PREFIX)


def parse_repository(text: str) -> Repository:
    """Reads the name of a repository.

    Args:
      text: `hf:owner/name`, or with a revision `hf:owner/name@revision`.

    Returns:
      The repository.

    Raises:
      UserError: it is none.
    """
    found = _REPOSITORY.fullmatch(text)
    if not found or ".." in text:
        raise UserError(
            f"{text!r} is no repository on the Hugging Face hub: write hf:owner/name, or hf:owner/name@revision."
        )
    return Repository(found[1], found[2] or "main")


def download_folder(repository: Repository) -> pathlib.Path:
    """Downloads what `motion_vit.load` needs of a repository, where it is not in the cache.

    Args:
      repository: one with a `config.json`.

    Returns:
      A folder with `config.json`, weights, and `preprocessor_config.json` where there is one.

    Raises:
      HubError: there is no network, no such repository or revision, or it is not open to the user.
      UserError: the library of the hub is missing or too old, a file is too large, not what the hub says, or the disk
        is full; or the model is of an architecture that is not supported.
    """
    folder = download_file(repository, CONFIG_FILE).parent
    check_architecture(folder, str(repository))  # before weights come, which may be many gigabytes
    _download_first(repository, (PROCESSOR_FILE,))
    names = [name for file in WEIGHTS_FILES for name in (file, f"{file}{INDEX_SUFFIX}")]
    found = _download_first(repository, names)
    if found is None:
        raise UserError(f"{repository} has no weights that can be read: none of {', '.join(names)}.")
    if found.name.endswith(INDEX_SUFFIX):
        for shard in shards(found):
            download_file(repository, shard)
    return folder


def _download_first(repository: Repository, files: Sequence[str]) -> pathlib.Path | None:
    """Downloads the first of some files that the repository has; None if it has none."""
    for file in files:
        try:
            return download_file(repository, file)
        except MissingFileError:
            continue
    return None


def download_file(repository: Repository, file: str, *, sha256: str = "") -> pathlib.Path:
    """Downloads a file, where it is not in the cache of the hub's library.

    Args:
      repository: where it lies.
      file: its name there.
      sha256: first digits of the hash that it must have; "" for that which the hub states.

    Returns:
      The file in the cache.

    Raises:
      HubError: as `download_folder`.
      UserError: as `download_folder`.
    """
    hub = hub_library()
    arguments: dict[str, Any] = {"repo_id": repository.name, "filename": file, "revision": repository.revision}
    errors = hub.errors
    try:
        with _retries_unsaid():
            expected = hub.hf_hub_download(**arguments, dry_run=True)
            if expected.will_download:
                _check_size(repository, file, expected.file_size)
            path = pathlib.Path(hub.hf_hub_download(**arguments, library_name="motion_vit"))
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repository} asks for consent to its terms, and a token: read {repository.address()}, and set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"there is no repository {repository}, or it is private and HF_TOKEN is no token that may read it"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repository} has no revision {repository.revision!r}") from error
    except errors.RemoteEntryNotFoundError as error:
        raise MissingFileError(f"{repository} has no file {file}") from error
    except errors.LocalEntryNotFoundError as error:
        if _known_absent(hub, arguments):
            raise MissingFileError(f"{repository} has no file {file}") from error
        why = (
            f"{OFFLINE_VARIABLE} is set"
            if hub.constants.is_offline_mode()
            else f"the hub cannot be reached ({_reason(error)})"
        )
        raise HubError(f"{repository}: {file} is not in the cache, and {why}") from error
    except OSError as error:
        # What the connection says, which is of other libraries, and what the disk says.
        raise HubError(f"{repository}: {file} cannot be downloaded: {_reason(error)}") from error
    _check_hash(path, repository, file, sha256, fresh=expected.will_download)
    return path


@contextlib.contextmanager
def _retries_unsaid() -> Iterator[None]:
    """Keeps the hub's library from warning of each of its retries: the last failure is an error, which is told."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _known_absent(hub: Any, arguments: dict[str, Any]) -> bool:
    """Tells if the cache knows that a repository has no such file."""
    found = hub.try_to_load_from_cache(arguments["repo_id"], arguments["filename"], revision=arguments["revision"])
    return found is not None and not isinstance(found, str)


def _check_size(repository: Repository, file: str, size: int | None) -> None:
    if size is None:
        return
    if size > LARGEST_FILE:
        raise UserError(f"{repository}: {file} has {size} bytes, and {LARGEST_FILE} are the most that is taken.")


def _check_hash(path: pathlib.Path, repository: Repository, file: str, sha256: str, *, fresh: bool) -> None:
    """Compares a file with the hash that is known, or that the hub states: the cache gives the file that name."""
    blob = path.resolve()
    stated = blob.name if _SHA256.fullmatch(blob.name) else ""
    if not (sha256 or (fresh and stated)):
        return
    found = file_hash(blob) if fresh or not stated else stated
    if found.startswith(sha256) and found.startswith(stated):
        return
    path.unlink()
    blob.unlink(missing_ok=True)
    raise UserError(
        f"{repository}: {file} is not the file that it should be: its SHA-256 is {found}, but must begin with "
        f"{sha256 or stated}. Nothing of it was kept. Try again; if that does not help, the file was replaced, or "
        "somebody on the way alters it."
    )


def _reason(error: BaseException) -> str:
    """Says in a line what the hub's library says, or what it got from the connection."""
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or (str(cause).splitlines() or [type(cause).__name__])[0]
