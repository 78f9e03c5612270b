"""What the site's own extensions of Sphinx make of pages and docstrings, on a small site."""

import pathlib
import re
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"

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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A small repository with one page, one recipe and one package, and the site made of it."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("docs", "configs", "toys"):
        (root / folder).mkdir()
    (root / "docs" / "conf.py").write_text(_CONF.format(root=str(root)))
    (root / "docs" / "index.md").write_text(_PAGE)
    (root / "configs" / "small.py").write_text("width = 3\n")
    (root / "configs" / "README.md").write_text("# Small\n")
    (root / "toys" / "__init__.py").write_text('"""All toys."""\n')
    (root / "toys" / "blocks.py").write_text(_MODULE)
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
