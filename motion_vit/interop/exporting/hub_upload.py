"""Uploads an export to the Hugging Face hub, with the hub's own library and the token that it finds."""

import pathlib
import re

from motion_vit.errors import UserError
from motion_vit.interop.exporting.model_card import CARD_FILE
from motion_vit.interop.files.hub_library import HubError, hub_library

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def check_upload(repository: str, file_format: str) -> None:
    """Checks an upload before anything is computed for it.

    Args:
      repository: `owner/name`.
      file_format: of the export.

    Raises:
      UserError: it is no repository, the export is of another format, the hub's library is missing or too old, or knows
        no token.
    """
    if file_format != "huggingface":
        raise UserError(f"--push uploads an export of --format huggingface, not of {file_format}.")
    if not _REPOSITORY.fullmatch(repository) or ".." in repository:
        raise UserError(f"--push is {repository!r}, but must be a repository on the hub: owner/name.")
    try:
        token = hub_library().get_token()
    except HubError as error:
        raise UserError(f"{error}.") from error
    if token is None:
        raise UserError(
            "--push needs a token that may write: make one at https://huggingface.co/settings/tokens, and set HF_TOKEN "
            "or run `hf auth login`."
        )


def upload_folder(folder: pathlib.Path, repository: str) -> str:
    """Uploads an export as one commit; the repository is made where it does not exist.

    Args:
      folder: of `motion-vit export --format huggingface`.
      repository: `owner/name`.

    Returns:
      The address of the repository.

    Raises:
      UserError: the model card is damaged, or the hub cannot be reached or refuses.
    """
    hub = hub_library()
    try:
        hub.ModelCard.load(folder / CARD_FILE, ignore_metadata_errors=False)
    except (OSError, ValueError) as error:
        raise UserError(f"the card {folder / CARD_FILE} is damaged: {error}. Export the model again.") from error
    try:
        made = hub.create_repo(repository, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a model of motion_vit")
    except (OSError, ValueError) as error:  # what the hub answers, and what the connection says, is derived from these
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{folder} was written, but cannot be uploaded to {repository}: {reason}. Check the name, the network and "
            f"that the token may write; `hf upload {repository} {folder}` tries it again."
        ) from error
    return str(made)
