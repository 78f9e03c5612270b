"""The rows of a comparison: recipes that differ only in their models and training methods."""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from motion_vit.comparison.sweep import Axis, sweep
from motion_vit.errors import UserError, did_you_mean
from motion_vit.models.options import adapter_traits
from motion_vit.training.recipe.checks import COMPILATION_FIELDS
from motion_vit.training.recipe.config import flatten
from motion_vit.training.recipe.file import load_recipes

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


def read_rows(path: str, overrides: Sequence[str] = (), axes: Sequence[Axis] = ()) -> dict[str, ConfigDict]:
    """Reads the rows of a comparison: recipes of a file, or the grid that is made of them.

    Args:
      path: a Python file with a function `get_configs()` that returns a recipe for each row's name, or with
        `get_config()` for a single row; or the name of an installed one, or either with `:ARG`.
      overrides: changes of every row's recipe, of the form `--config.key=value`.
      axes: of the grid.

    Returns:
      Name -> recipe, in the order of the file.

    Raises:
      UserError: the file is missing or makes no recipes, or the grid cannot be made.
    """
    return sweep(load_recipes(path, overrides), axes)


def load_rows(
    path: str, overrides: Sequence[str] = (), chosen: Sequence[str] = (), axes: Sequence[Axis] = ()
) -> dict[str, ConfigDict]:
    """Reads the rows of a comparison, chooses some and checks that they can be compared.

    Args:
      path: as for `read_rows`.
      overrides: likewise.
      chosen: names of the rows to take; all by default.
      axes: as for `read_rows`.

    Returns:
      Name -> recipe, in the order of the file.

    Raises:
      UserError: as `read_rows`; or a row is unknown, or rows differ in their data or steps, which are not swept.
    """
    rows = read_rows(path, overrides, axes)
    if unknown := [name for name in chosen if name not in rows]:
        raise UserError(
            f"{path} has no row {unknown[0]!r}.{did_you_mean(unknown[0], rows)} The rows are: {', '.join(rows)}."
        )
    taken = {name: config for name, config in rows.items() if not chosen or name in chosen}
    check_comparable(taken, [axis.field for axis in axes])
    return taken


def check_comparable(rows: Mapping[str, ConfigDict], swept: Sequence[str] = ()) -> None:
    """Checks that rows differ only in what may be compared.

    Args:
      rows: name -> recipe, at least one.
      swept: fields that they may differ in besides, because somebody asks what they change.

    Raises:
      UserError: two rows differ in another field; the message names them.
    """
    first, *others = rows
    expected = flatten(rows[first])
    for name in others:
        for field, value in flatten(rows[name]).items():
            if value != expected[field] and not field.startswith(_FREE) and field not in swept:
                raise UserError(
                    f"the rows {first!r} and {name!r} cannot be compared: {field} is {expected[field]!r} in one and "
                    f"{value!r} in the other. Rows may differ in {', '.join(free.rstrip('.') for free in _FREE)}."
                )
