"""The directive `package`, which documents all modules of a package on one page.

Separate pages for modules would be a tree of hundreds of pages, hard to search and slow to build.
"""

import pkgutil
from importlib import import_module

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata


class Package(SphinxDirective):
    """`.. package:: motion_vit.ops`: a section for every public module of it, without its subpackages."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Lists the modules, and leaves the rest to autodoc."""
        package = import_module(self.arguments[0])
        names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg]
        lines: list[str] = []
        for name in [None, *sorted(names)]:
            module = package.__name__ if name is None else f"{package.__name__}.{name}"
            if name is not None:
                lines += [name, "-" * len(name), ""]
            lines += [f".. automodule:: {module}", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the directive.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    app.add_directive("package", Package)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
