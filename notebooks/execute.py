"""Executes the notebooks: each NAME.md becomes NAME.ipynb with printed and drawn outputs.

Command:  make notebooks, or python notebooks/execute.py [NAME ...]

Edit the text form NAME.md (MyST Markdown, as jupytext writes it). A notebook runs in a new, empty folder and in its own
process, and an assertion that fails in one of its cells stops everything.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parent
NAMES = (
    "quickstart",
    "attention_maps",
    "motion_prompts_and_m2a",
    "your_own_videos",
    "import_and_export",
    "scaling",
)
"""The notebooks in the order in which they are best read."""

_CELL_SECONDS = 600
# Colab runs notebooks of this kernel with whatever Python it has.
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read_text(name: str) -> nbformat.NotebookNode:
    """Reads a notebook's text form.

    Args:
      name: one of `NAMES`.

    Returns:
      The notebook, without outputs; its cells are numbered, so that the same text gives the same file.
    """
    notebook = jupytext.read(FOLDER / f"{name}.md")
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def execute(
    notebook: nbformat.NotebookNode, folder: pathlib.Path, *, environment: Mapping[str, str] | None = None
) -> nbformat.NotebookNode:
    """Runs every cell of a notebook in a new process.

    Args:
      notebook: the notebook; its outputs are replaced.
      folder: the working directory, which should be empty.
      environment: variables of the process; by default those of this one.

    Returns:
      The notebook with its outputs.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    variables = dict(os.environ if environment is None else environment)
    # Where the command `motion-vit` is, also if this environment is not activated.
    variables["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    client = NotebookClient(
        notebook,
        timeout=_CELL_SECONDS,
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
    )
    return client.execute(env=variables)


def tidy(notebook: nbformat.NotebookNode, folder: pathlib.Path) -> None:
    """Cleans the outputs of cells, in place.

    Progress bars are removed: standard error, and text that a terminal would overwrite after a carriage return. So is
    the temporary folder, whose name differs each time.

    Args:
      notebook: an executed notebook.
      folder: where it ran.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "stream":
                lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in output.text.split("\n"))
                output.text = "\n".join(lines).replace(f"{folder}{os.sep}", "")


def _joined(outputs: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Merges pieces of one text in the outputs, and drops standard error."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            continue
        if output.output_type == "stream" and joined and joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def main() -> None:
    """Executes notebooks and writes them beside their text forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(NAMES)}")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no notebook {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    # Without it, JAX would look for a TPU wherever libtpu is installed, and complain that there is none.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in names:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(read_text(name), pathlib.Path(folder))
            tidy(notebook, pathlib.Path(folder))
        nbformat.write(notebook, FOLDER / f"{name}.ipynb")
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
