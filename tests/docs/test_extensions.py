"""What the site's own extensions of Sphinx make of pages and docstrings, on a small site."""

import argparse
import pathlib
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from motion_vit import cli
from motion_vit.training.recipe.fields import FIELDS

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"

# All of them read one site, which takes long to make.
pytestmark = pytest.mark.slow

# The settings of the real site, but for its style sheet.
_CONF = f"""
import runpy
import sys

globals().update(runpy.run_path({str(DOCS / "conf.py")!r}))
sys.path.insert(0, {{root!r}})
html_static_path = html_css_files = []
"""

_PAGE = """
# Page

The recipe is [here](../configs/small.py), what it says of itself [there](../configs/README.md), and the sum is

$$
\\sum_i \\frac{a_i}{b}
$$

```{eval-rst}
.. package:: toys
```
"""

_COMMANDS = """
# Commands

```{commands}
```
"""

_FIELDS = """
# Fields

```{recipe-fields}
```
"""

_NOTEBOOK = """
# Toys

```{notebook} toys
```
"""

# The smallest picture.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_MODULE = '''
"""Toys.

The law is:

    y = x * x

and nothing else.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Layer(nn.Module):
    """A layer.

    Attributes:
      width: how wide.
    """

    width: int = 2
    dtype: jnp.dtype = jnp.float32

    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """Applies it."""
        return x
'''


def _notebook() -> nbformat.NotebookNode:
    """A notebook whose code would fail if it ran, with outputs of every kind."""
    stream = new_output("stream", text="\x1b[31mseen\x1b[0m ``` &lt;\n")
    picture = new_output("display_data", {"image/png": _PIXEL, "text/plain": "<Figure>"})
    widget = new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a widget"})
    value = new_output("execute_result", {"text/plain": "42 toys"})
    return new_notebook(
        cells=[
            new_markdown_cell(
                "# Toys\n\n[![Colab](https://example.org/badge.svg)](https://example.org)\n\nA first word."
            ),
            new_code_cell("%pip install toys\n!ls"),
            new_code_cell("raise SystemExit('ran')", outputs=[stream, picture, widget, value]),
            new_markdown_cell("## Behind it\n\nSee [fields](../docs/fields.md) and [this](toys.ipynb)."),
        ]
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A small repository with one page, one recipe and one package, and the site made of it."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("docs/notebooks", "configs", "toys"):
        (root / folder).mkdir(parents=True)
    (root / "docs" / "conf.py").write_text(_CONF.format(root=str(root)))
    (root / "docs" / "index.md").write_text(_PAGE)
    (root / "configs" / "small.py").write_text("width = 3\n")
    (root / "configs" / "README.md").write_text("# Small\n")
    (root / "toys" / "__init__.py").write_text('"""All toys."""\n')
    (root / "toys" / "blocks.py").write_text(_MODULE)
    for name, text in (("commands", _COMMANDS), ("fields", _FIELDS), ("notebooks/toys", _NOTEBOOK)):
        (root / "docs" / f"{name}.md").write_text(f"---\norphan: true\n---\n{text}")
    (root / "docs" / "recipes.md").write_text("---\norphan: true\n---\n# Recipes\n")
    (root / "notebooks").mkdir()
    nbformat.write(_notebook(), root / "notebooks" / "toys.ipynb")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", str(root / "docs"), str(root / "site")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return root / "site"


def test_a_link_to_a_file_leads_to_a_page_that_shows_it(site):
    (link,) = re.findall(r'href="([^"]*small[^"]*)"', (site / "index.html").read_text())
    text = re.sub("<[^>]*>", "", (site / link).read_text())
    assert "configs/small.py" in text
    assert "width = 3" in text
    assert (site / "source" / "configs" / "README.md.html").exists()


def test_a_formula_is_drawn_by_the_browser_itself(site):
    html = (site / "index.html").read_text()
    assert "<mfrac>" in html
    assert not re.search(r"<script[^>]*mathjax", html, re.IGNORECASE)


def test_the_modules_of_a_package_are_on_one_page(site):
    html = (site / "index.html").read_text()
    assert "All toys." in html
    assert "<h2>blocks" in html


def test_code_in_a_docstring_is_code(site):
    html = (site / "index.html").read_text()
    block = re.search(r"<pre>(.*?)</pre>", html, re.DOTALL)[1]
    assert re.sub("<[^>]*>|\n", "", block) == "y = x * x"


def test_a_constructor_shows_the_options_of_the_layer_alone(site):
    text = re.sub("<[^>]*>|\\s", "", (site / "index.html").read_text())
    assert "Layer(width:int=2,dtype:dtype=jax.numpy.float32" in text
    assert "parent" not in re.search(r"Layer\(.*?Alayer", text)[0]
    assert "Float[Array,'bc']" in text.replace("&#39;", "'")


def _plain(html):
    """The text of a page, with the quotes that were written."""
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", html).replace("&#39;", "'").replace("&quot;", '"'))


def _parsers(parser, words=()):
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(words), parser
    for action in inner:
        for name, each in action.choices.items():
            yield from _parsers(each, (*words, name))


def test_every_command_is_on_the_page_of_commands_with_all_that_it_takes(site):
    html = (site / "commands.html").read_text()
    sections = dict(re.findall(r"<h2>(.*?)<a.*?</h2>(.*?)(?=<h2>|\Z)", html, re.DOTALL))
    commands = dict(_parsers(cli._parser()))
    assert commands.keys() == sections.keys()
    for name, parser in commands.items():
        text = _plain(sections[name])
        for action in [action for action in parser._actions if action.dest != "help"]:
            for flag in action.option_strings[-1:]:
                assert re.search(rf"{re.escape(flag)}\b", text), (name, flag)
            if action.help:
                first = re.split(r"[`%]", action.help)[0][:40].strip()
                assert first.replace("'", "") in re.sub("[\u2018\u2019']", "", text), (name, first)


def test_every_field_is_on_the_page_of_fields(site):
    html = (site / "fields.html").read_text()
    rows = [re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]
    table = {_plain(row[0]).strip(): [_plain(cell) for cell in row[1:]] for row in rows if row}
    assert table.keys() == FIELDS.keys()
    for name, (default, meaning, expected) in table.items():
        assert default.split()[0].startswith(repr(FIELDS[name].default).split()[0])
        assert meaning.split()[0].strip("“”") == FIELDS[name].meaning.split()[0].strip('"`')
        assert expected


def test_a_notebook_is_shown_with_its_outputs_and_not_executed(site):
    html = (site / "notebooks" / "toys.html").read_text()
    text = _plain(html)
    order = [
        "A first word",
        "%pip install",
        "raise SystemExit('ran')",
        "seen ``` &amp;lt;",
        "42 toys",
        "Behind it",
        "See",
    ]
    places = [text.find(part, text.find("A first word")) for part in order]
    assert places == sorted(places), list(zip(order, places, strict=True))
    assert min(places) > 0
    assert "a widget" not in text
    assert html.count("<h1>Toys") == 1
    assert "<h2>Behind it" in html
    assert f"data:image/png;base64,{_PIXEL}" in html
    assert "badge" not in html
    assert 'href="../fields.html"' in re.search(r"See <a.*?</p>", html, re.DOTALL)[0]
