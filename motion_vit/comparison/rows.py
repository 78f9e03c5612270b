"""The rows of a comparison: recipes that differ only in their models and training methods."""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.options import adapter_traits
from motion_vit.training.recipe.checks import COMPILATION_FIELDS
from motion_vit.training.recipe.config import flatten
from motion_vit.training.recipe.file import load_configs

# What may differ from row to row: the model, its losses, how it is optimised and laid out on devices, and the numbers
# that its inputs are normalised with. Videos, clips, augmentation, steps and evaluation may not.
_FREE = (
    "name",
    "model.",
    "optimizer.",
    "loss.",
    "initial_weights",
    "accumulation",
    "mesh.",
    "sharding_rules",
    "ema",
    *COMPILATION_FIELDS,
    *(traits.recipe_field for traits in adapter_traits().values() if traits.effect == "inputs"),
)


def load_rows(path: str, overrides: Sequence[str] = (), chosen: Sequence[str] = ()) -> dict[str, ConfigDict]:
    """Reads a comparison: a Python file with a function `get_configs()` that returns a recipe for each row's name.

    Args:
      path: the file.
      overrides: changes of every row's recipe, of the form `--config.key=value`.
      chosen: names of the rows to take; all by default.

    Returns:
      Name -> recipe, in the order of the file.

    Raises:
      UserError: the file is missing or makes no recipes, a row is unknown, or rows differ in their data or steps.
    """
    rows = load_configs(path, overrides)
    if unknown := [name for name in chosen if name not in rows]:
        raise UserError(f"{path} has no row {unknown[0]!r}. The rows are: {', '.join(rows)}.")
    taken = {name: config for name, config in rows.items() if not chosen or name in chosen}
    check_comparable(taken)
    return taken


def check_comparable(rows: Mapping[str, ConfigDict]) -> None:
    """Checks that rows differ only in what may be compared.

    Args:
      rows: name -> recipe, at least one.

    Raises:
      UserError: two rows differ in another field; the message names them.
    """
    first, *others = rows
    expected = flatten(rows[first])
    for name in others:
        for field, value in flatten(rows[name]).items():
            if value != expected[field] and not field.startswith(_FREE):
                raise UserError(
                    f"the rows {first!r} and {name!r} cannot be compared: {field} is {expected[field]!r} in one and "
                    f"{value!r} in the other. Rows may differ in {', '.join(free.rstrip('.') for free in _FREE)}."
                )
