"""Adapts autodoc's results to readers of the reference."""

import builtins
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

# What Flax adds to the constructors of all modules.
_FLAX_ARGUMENTS = re.compile(r",? *(\*, )?parent: [^,]*, name: [^,)]*(?=\))")
_CLASS = re.compile(r"<class '([\w.]+)'>")
# How JAX's own class of arrays is called inside.
_ARRAY = "jaxlib._jax.Array"


def mark_code(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Turns text below a paragraph that is indented by four columns into a code block, as in Markdown.

    Args:
      app: the build.
      what: "module", "class", "function" and so on.
      name: full name of the thing.
      thing: the documented object.
      options: of the directive.
      lines: the docstring, which is changed in place.
    """
    changed: list[str] = []
    in_code = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if in_code and line and not indented:
            in_code = False
        elif not in_code and indented and number > 1 and not lines[number - 1] and lines[number - 2][:1].strip():
            changed += ["::", ""]
            in_code = True
        changed.append(line)
    lines[:] = changed


def shorten_constructor(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Removes arguments that Flax adds to all constructors, and writes default dtypes as names.

    Args:
      app: the build.
      what: "module", "class", "function" and so on.
      name: full name of the thing.
      thing: the documented object.
      options: of the directive.
      signature: arguments in parentheses, or None.
      returns: the return annotation.

    Returns:
      Signature and annotation.
    """
    if what == "class" and signature is not None:
        signature = _FLAX_ARGUMENTS.sub("", signature)
        signature = _CLASS.sub(r"\1", signature)
    return signature, returns


def skip_fields(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Skips the fields of named tuples, which the class describes, and default values that are classes.

    Args:
      app: the build.
      what: kind of the parent.
      name: of the member, without its parent.
      thing: the member.
      skip: autodoc's own decision.
      options: of the directive.

    Returns:
      True to skip it, None for autodoc's decision.
    """
    is_default = what == "class" and isinstance(thing, type)
    return True if is_default or type(thing).__name__ == "_tuplegetter" else None


class TidyTypes(SphinxTransform):
    """Writes JAX's arrays as `Array`, as the code does, and reads `bytes` as the builtin, not as a property."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Changes text and references of one page."""
        for reference in self.document.findall(addnodes.pending_xref):
            if reference.get("reftarget") in vars(builtins):
                reference.attributes.pop("refspecific", None)
        for text in list(self.document.findall(nodes.Text)):
            if _ARRAY in text:
                text.parent.replace(text, nodes.Text(text.replace(_ARRAY, "Array")))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the handlers and the transform.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    # Before napoleon, while the sections are what the file has.
    app.connect("autodoc-process-docstring", mark_code, priority=400)
    app.connect("autodoc-process-signature", shorten_constructor)
    app.connect("autodoc-skip-member", skip_fields)
    app.add_transform(TidyTypes)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
