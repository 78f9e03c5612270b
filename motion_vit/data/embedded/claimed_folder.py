"""Folders of rendered videos: a note in each says of what they are, so that a later call completes them or refuses."""

import json
import pathlib
from collections.abc import Mapping

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import make_folder, write_text
from motion_vit.files.json_file import read_json


def claim_folder(folder: pathlib.Path, note: str, parameters: Mapping[str, object]) -> None:
    """Writes the parameters into an empty folder, or checks that they are those of an earlier call.

    Args:
      folder: made if it is missing.
      note: name of the file.
      parameters: what the videos depend on, as JSON holds it.

    Raises:
      UserError: the folder holds something else, other parameters, or a damaged note; or it cannot be written.
    """
    path = folder / note
    if path.exists():
        try:
            found = read_json(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged; delete the folder {folder} and render it again") from error
        if found != parameters:
            raise UserError(
                f"the folder {folder} holds a dataset with other parameters: {json.dumps(found)}, "
                f"asked for: {json.dumps(parameters)}; choose another folder or delete this one"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder and holds no dataset of motion scenes; choose another folder")
    make_folder(folder)
    write_text(path, json.dumps(parameters, indent=2) + "\n")
