"""Sphinx settings of the documentation site: `make docs`."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "extensions"))

project = "motion_vit"
html_title = "motion_vit"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "command_pages",
    "docstrings",
    "mathml",
    "notebook_pages",
    "package_reference",
    "range_tables",
    "repository_files",
]
exclude_patterns = ["extensions", "figures"]
# Blocks that name no language are formulas and transcripts.
highlight_language = "text"

# Pages are the Markdown that is read in the repository as well, with the anchors that headings have there.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

# A name of this library that does not exist is an error. In single backticks stands code of any kind, as in Markdown:
# what is a name becomes a link, and what is none is left alone, as are the names of other libraries.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?s)(?!motion_vit\.[\w.]+$).*"),
    # Type variables, which are not documented by themselves.
    (r"py:(class|obj)", r"motion_vit\.training\.step\.(regex_rules\.Value|state\.Leaf)|motion_vit\.[\w.]*\._\w+"),
]

autodoc_default_options = {"members": True, "special-members": "__call__", "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
add_module_names = False
# Modules alone are in the contents of a page: every page copies the tree of all contents, which would have thousands of
# entries.
toc_object_entries = False
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# The attributes of a Flax module or dataclass are the arguments of its constructor.
napoleon_custom_sections = [("Attributes", "params_style")]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["motion_vit.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_math_renderer = "mathml"
