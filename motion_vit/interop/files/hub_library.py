"""The library of the Hugging Face hub, an extra of this one: imported where it is asked for."""

import importlib.metadata
import importlib.util
import re
from typing import Any

from motion_vit.errors import UserError

_PACKAGE = "huggingface_hub"
_EARLIEST = (2, 4)


class HubError(UserError):
    """Error of what the hub or its library does not give. The message is a clause."""


def hub_library() -> Any:
    """Imports the hub's library.

    Returns:
      The module `huggingface_hub`, with its `errors` and `constants`.

    Raises:
      HubError: it is not installed, or too old.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        raise HubError(
            f"the Hugging Face hub needs the package {_PACKAGE}, which is not installed; pip install 'motion_vit[hub]' "
            "installs it"
        )
    version = importlib.metadata.version(_PACKAGE)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _EARLIEST:
        raise HubError(
            f"{_PACKAGE} {version} is too old, and {'.'.join(map(str, _EARLIEST))} or later is needed; pip install "
            "--upgrade 'motion_vit[hub]' brings it"
        )
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors

    return huggingface_hub
