"""The directives `recipe-fields`, `option-ranges` and `adaptation-ranges`: what fields and options may be.

They are made from what the library checks and prints itself, so that no page repeats a limit by hand.
"""

from collections.abc import Mapping

from command_pages import escaped
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.option import option_ranges
from motion_vit.models.registry import list_models, model_class
from motion_vit.ranges import Range
from motion_vit.training.adaptation.options import ADAPTATION_RANGES
from motion_vit.training.recipe.field_descriptions import FieldDescription, describe_fields


class RecipeFields(SphinxDirective):
    """`{recipe-fields}`: a section for each group of fields, with a table of what each is and may be."""

    def run(self) -> list[nodes.Node]:
        """Makes the tables."""
        groups: dict[str, list[FieldDescription]] = {}
        for field in describe_fields():
            group, _, rest = field.name.partition(".")
            groups.setdefault(group if rest else "", []).append(field)
        text = "\n\n".join(f"## {group or 'The run'}\n\n{_fields(fields)}" for group, fields in groups.items())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class OptionRanges(SphinxDirective):
    """`.. option-ranges::`: what each option of the library's models and input adapters may be."""

    def run(self) -> list[nodes.Node]:
        """Makes a table for each class."""
        tables = (
            f"{each.__name__}:\n\n{_table('option', option_ranges(each))}"
            for each in (*dict.fromkeys(map(model_class, list_models())), MotionPrompted)
        )
        return self.parse_text_to_nodes("\n\n".join(tables))


class AdaptationRanges(SphinxDirective):
    """`.. adaptation-ranges::`: what each option of adaptation at test time may be."""

    def run(self) -> list[nodes.Node]:
        """Makes the table."""
        return self.parse_text_to_nodes(_table("option", ADAPTATION_RANGES))


def _fields(fields: list[FieldDescription]) -> str:
    """Writes a table in Markdown."""
    rows = [
        f"| `{each.name}` | `{each.default}` {each.type} | {escaped(each.meaning)} | {escaped(each.range)} |"
        for each in fields
    ]
    return "\n".join(["| field | default and type | meaning | must be |", "|---|---|---|---|", *rows])


def _table(kind: str, ranges: Mapping[str, Range]) -> str:
    """Writes a table in reStructuredText."""
    rows = "\n".join(f"   * - ``{name}``\n     - {each.expectation}" for name, each in ranges.items())
    return f".. list-table::\n   :header-rows: 1\n\n   * - {kind}\n     - must be\n{rows}\n"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the directives.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    app.add_directive("recipe-fields", RecipeFields)
    app.add_directive("option-ranges", OptionRanges)
    app.add_directive("adaptation-ranges", AdaptationRanges)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
