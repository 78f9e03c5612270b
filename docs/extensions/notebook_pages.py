"""Pages of notebooks: the block `{notebook} NAME` stands for a notebook with its stored outputs; nothing is executed.

The block is replaced before the page is read, and is no directive: its headings are those of the page.
"""

import pathlib
import re
from typing import Any

import nbformat
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_BLOCK = re.compile(r"^```\{notebook\} (\w+)\n```$", re.MULTILINE)
# The title, which the page has itself, and the badge of Colab, a picture on a server, below it.
_OPENING = re.compile(r"\A# [^\n]*\n+(?:\[!\[[^\n]*\n*)?")
# Links to pages of this site and to other notebooks, whose pages lie beside that of this one.
_PAGE = re.compile(r"(?<=\]\()\.\./docs/")
_NOTEBOOK = re.compile(r"(?<=\]\()(\w+)\.ipynb")
# Lines for a shell or for the notebook itself, which are no Python.
_COMMAND = re.compile(r"^\s*[!%]", re.MULTILINE)
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def insert_notebook(app: Sphinx, page: str, source: list[str]) -> None:
    """Replaces the block of a page by the notebook `notebooks/NAME.ipynb` of the repository, without its title.

    Args:
      app: the build.
      page: name of the page.
      source: its text, which is changed in place.
    """
    found = _BLOCK.search(source[0])
    if found:
        file = pathlib.Path(app.srcdir).parent / "notebooks" / f"{found[1]}.ipynb"
        app.env.note_dependency(file, docname=page)
        text = notebook_markdown(nbformat.read(file, as_version=4))
        source[0] = source[0][: found.start()] + text + source[0][found.end() :]


def notebook_markdown(notebook: Any) -> str:
    """Writes a notebook as Markdown.

    Args:
      notebook: of `nbformat.read`.

    Returns:
      Its text, code in blocks, and behind each what it printed and drew; pictures are part of the text.
    """
    parts: list[str] = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            text = cell.source if number else _OPENING.sub("", cell.source)
            parts.append(_NOTEBOOK.sub(r"\1.md", _PAGE.sub("../", text)))
        elif cell.cell_type == "code":
            parts.append(_fenced(cell.source, "text" if _COMMAND.search(cell.source) else "python"))
            parts += filter(None, map(_output, cell.outputs))
    return "\n\n".join(parts)


def _output(output: Any) -> str:
    """Writes an output of a cell; of several forms the picture, and nothing of what needs a running notebook."""
    if output.output_type == "stream":
        return _fenced(_ESCAPES.sub("", output.text).rstrip("\n"), "text")
    if output.output_type == "error":
        return _fenced(f"{output.ename}: {output.evalue}", "text")
    data = output.data
    if "image/png" in data:
        return f"![What the cell draws](data:image/png;base64,{data['image/png'].replace(chr(10), '')})"
    if len(data) == 1 and "text/plain" in data:
        return _fenced(data["text/plain"], "text")
    return ""


def _fenced(text: str, language: str) -> str:
    """Writes a block of code in a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers what reads pages.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    app.connect("source-read", insert_notebook)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
