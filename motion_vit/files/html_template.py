"""Pages of one file: marks in a template that are filled, and the hashes by which a policy names what may run."""

import base64
import hashlib
import re
from collections.abc import Mapping


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Puts texts into a template in one pass: what is put in is not searched for marks.

    Args:
      template: with marks such as `@@TITLE@@`.
      parts: name of each mark -> text; of HTML, so that text from outside is escaped before.

    Returns:
      The template with all marks replaced.
    """
    return re.sub("@@([A-Z]+)@@", lambda mark: parts[mark.group(1)], template)


def policy_hash(source: str) -> str:
    """Names a script or style as a Content-Security-Policy does that lets it, and no other, run.

    Args:
      source: all between the tags of its element.

    Returns:
      Its hash with quotes, `'sha256-...'`.
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode('ascii')}'"
