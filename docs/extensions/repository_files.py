"""Turns links from pages to repository files, such as `../configs/demo.py`, into links to pages that show the files.

Pages link to files by their path, so that the links also work where the repository is browsed. On the site, each linked
file gets a page, `source/configs/demo.py.html`, with its text at the time of the build.
"""

import pathlib
from collections.abc import Iterator, Set
from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.domains import Domain
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata

FOLDER = "source"
"""Where the pages of files lie on the site."""

# The end of a file's name -> what its text is coloured as.
_LANGUAGES = {
    ".Dockerfile": "docker",
    ".md": "markdown",
    ".py": "python",
    ".sbatch": "bash",
    ".sh": "bash",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}


class RepositoryDomain(Domain):
    """Tracks which page links to which files, and resolves these links."""

    name = "repository"
    label = "files of the repository"
    initial_data: ClassVar[dict[str, Any]] = {"files": {}}
    data_version = 0

    @property
    def files(self) -> dict[str, set[str]]:
        """Page -> files that it links to, as paths in the repository."""
        found: dict[str, set[str]] = self.data["files"]
        return found

    def clear_doc(self, docname: str) -> None:
        """Forgets a page that is read again."""
        self.files.pop(docname, None)

    def merge_domaindata(self, docnames: Set[str], otherdata: dict[str, Any]) -> None:
        """Merges the results of another process."""
        self.files.update({name: otherdata["files"][name] for name in docnames if name in otherdata["files"]})

    def resolve_xref(
        self,
        env: BuildEnvironment,
        fromdocname: str,
        builder: Builder,
        typ: str,
        target: str,
        node: addnodes.pending_xref,
        contnode: nodes.Element,
    ) -> nodes.reference:
        """Makes the link to the page of a file."""
        return make_refnode(builder, fromdocname, f"{FOLDER}/{target}", None, contnode)


class LinkFiles(SphinxTransform):
    """Turns links to files that are no pages of the site into links to pages that show them.

    MyST takes them for downloads, or, where they are Markdown, for pages that are missing.
    """

    # Before Sphinx collects downloads to copy them.
    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Changes the links of one page."""
        for download in list(self.document.findall(addnodes.download_reference)):
            _, file = self.env.relfn2path(download["reftarget"], self.env.docname)
            self._link(download, pathlib.Path(file))
        for reference in list(self.document.findall(addnodes.pending_xref)):
            target = reference.get("reftarget", "")
            if reference.get("refdomain") == "doc" and target not in self.env.found_docs:
                self._link(reference, pathlib.Path(self.env.srcdir, f"{target}.md"))

    def _link(self, node: nodes.Element, file: pathlib.Path) -> None:
        """Replaces a node by a link to the page of a file."""
        path = file.resolve().relative_to(pathlib.Path(self.env.srcdir).parent).as_posix()
        self.env.domains["repository"].data["files"].setdefault(self.env.docname, set()).add(path)
        link = addnodes.pending_xref("", *node.children, refdomain="repository", reftarget=path, reftype="file")
        node.replace_self(link)


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yields name, contents and template of the page of every linked file."""
    if not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    for path in sorted(set().union(*app.env.domains["repository"].data["files"].values())):
        text = (pathlib.Path(app.srcdir).parent / path).read_text(encoding="utf-8")
        body = app.builder.highlighter.highlight_block(text, _LANGUAGES.get(pathlib.PurePath(path).suffix, "text"))
        yield f"{FOLDER}/{path}", {"title": path, "body": f"<h1><code>{path}</code></h1>{body}"}, "page.html"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers domain, transform and pages.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    app.add_domain(RepositoryDomain)
    app.add_transform(LinkFiles)
    app.connect("html-collect-pages", _pages)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
