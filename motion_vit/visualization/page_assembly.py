"""Assembles a page of one file: a template, styles, scripts in plain JavaScript, and the content as JSON."""

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from motion_vit.files.html_template import fill, policy_hash
from motion_vit.outside_text import for_html


def assemble_page(
    template: str, styles: Sequence[str], scripts: Sequence[str], *, title: str, content: Mapping[str, Any]
) -> str:
    """Assembles the files of a page, which lie in the folder `page`, and its content.

    Args:
      template: name of a file of HTML with the marks `POLICY`, `TITLE`, `STYLE`, `CONTENT` and `SCRIPTS`, each between
        two signs `@@`.
      styles: names of files of CSS.
      scripts: names of files of JavaScript.
      title: of the page; may come from outside.
      content: for JSON, in the element with the id `content`.

    Returns:
      The text of the page.
    """
    folder = importlib.resources.files("motion_vit.visualization") / "page"

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    # In a script element nothing may look like its end, and NaN is no JSON.
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    programs = [f"\n{read(name)}" for name in scripts]
    # The browser runs these scripts and no other, wherever a name from a checkpoint or a file may get to.
    parts = {
        "POLICY": " ".join(map(policy_hash, programs)),
        "TITLE": for_html(title),
        "STYLE": "\n".join(read(name) for name in styles),
        "CONTENT": text,
        "SCRIPTS": "\n".join(f"<script>{program}</script>" for program in programs),
    }
    return fill(read(template), parts)
