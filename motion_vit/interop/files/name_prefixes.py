"""Prefixes that all weight names share, because the model was part of a larger module when it was saved."""

from collections.abc import Collection

_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "base_model.")
"""Put before every name by `DistributedDataParallel`, by `torch.compile`, by TimeSformer's model classes, by what is
built around a backbone, and by the TSN class of TSM's and M2A's code."""

_MOST_PREFIXES = 4
"""So many can lie in each other; a hostile file may have names of millions."""

_BESIDE = ("new_fc.", "vmps.")
"""Modules that lie beside the one with the prefix: the classifier of that TSN class, and video motion prompts."""


def uniform_prefix(names: Collection[str]) -> str:
    """Finds the meaningless prefix that all names share.

    Args:
      names: names of weights.

    Returns:
      The prefix for `without_prefix` to remove, such as "module.base_model."; "" for none.
    """
    prefix = ""
    remaining = set(names)
    for _ in range(_MOST_PREFIXES):
        found = next((known for known in _PREFIXES if _is_shared(known, remaining)), None)
        if found is None:
            break
        prefix += found
        remaining = {without_prefix(name, found) for name in remaining}
    return prefix


def without_prefix(name: str, prefix: str) -> str:
    """Removes a prefix from a name, or as much of it as the name has: modules beside the model may lack parts of it.

    Args:
      name: with or without the prefix.
      prefix: of `uniform_prefix`.

    Returns:
      The rest of the name.
    """
    while prefix:
        head, _, prefix = prefix.partition(".")
        if not name.startswith(_BESIDE):
            name = name.removeprefix(f"{head}.")
    return name


def _is_shared(prefix: str, names: Collection[str]) -> bool:
    of_model = [name for name in names if not name.startswith(_BESIDE)]
    if not of_model or not all(name.startswith(prefix) for name in of_model):
        return False
    return len({without_prefix(name, prefix) for name in names}) == len(names)
