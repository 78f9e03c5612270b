"""The directive `notebook`: a notebook with the outputs that are stored in it; nothing is executed."""

import pathlib
import re
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

# The title, which the page has itself, and the badge of Colab, a picture on a server, below it.
_OPENING = re.compile(r"\A# [^\n]*\n+(?:\[!\[[^\n]*\n*)?")
# Links to pages of this site and to other notebooks, whose pages lie beside that of this one.
_PAGE = re.compile(r"(?<=\]\()\.\./docs/")
_NOTEBOOK = re.compile(r"(?<=\]\()(\w+)\.ipynb")
# Lines for a shell or for the notebook itself, which are no Python.
_COMMAND = re.compile(r"^\s*[!%]", re.MULTILINE)
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Notebook(SphinxDirective):
    """`{notebook} NAME`: the notebook `notebooks/NAME.ipynb`, without its title."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Writes the cells as Markdown, and leaves the rest to its parser."""
        file = pathlib.Path(self.env.srcdir).parent / "notebooks" / f"{self.arguments[0]}.ipynb"
        self.env.note_dependency(file)
        notebook = nbformat.read(file, as_version=4)
        return self.parse_text_to_nodes(notebook_markdown(notebook), allow_section_headings=True)


def notebook_markdown(notebook: Any) -> str:
    """Writes a notebook as Markdown.

    Args:
      notebook: of `nbformat.read`.

    Returns:
      Its text, code in blocks, and behind each what it printed and drew; pictures are part of the text.
    """
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = _OPENING.sub("", cell.source) if not parts else cell.source
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
    """Registers the directive.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    app.add_directive("notebook", Notebook)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
