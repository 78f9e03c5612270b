"""The page of a server: a video is dropped on it, and it shows what the model answers.

It is one file of plain HTML with its style and script inside, which alone its policy allows. All that it shows from
outside, labels, file names and errors, is set as text, never as HTML.
"""

import importlib.resources

from motion_vit.files.html_template import fill, policy_hash
from motion_vit.outside_text import for_html


def _read(name: str) -> str:
    return importlib.resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


_STYLE, _SCRIPT = _read("style.css"), _read("page.js")

CONTENT_POLICY = (
    f"default-src 'none'; script-src {policy_hash(_SCRIPT)}; style-src {policy_hash(_STYLE)}; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's header Content-Security-Policy: nothing but its own style, script and server."""


def page_html(model: str) -> str:
    """Makes the page.

    Args:
      model: its name.

    Returns:
      HTML.
    """
    return fill(_read("page.html"), {"MODEL": for_html(model), "STYLE": _STYLE, "SCRIPT": _SCRIPT})
