"""What the names of all weights begin with, because the model was a part of something else when it was saved."""

from collections.abc import Collection

_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "base_model.")
"""Put before every name by `DistributedDataParallel`, by `torch.compile`, by TimeSformer's model classes, by what is
built around a backbone, and by the TSN class of TSM's and M2A's code."""

_MOST_PREFIXES = 4
"""So many can lie in each other; a hostile file may have names of millions."""

_BESIDE = ("new_fc.", "vmps.")
"""Modules that lie beside the one with the prefix: the classifier of that TSN class, and video motion prompts."""


def uniform_prefix(names: Collection[str]) -> str:
    """The prefix that all names share, as far as it is one that means nothing.

    Args:
      names: names of weights.

    Returns:
      What `without_prefix` takes away, such as "module.base_model."; "" for none.
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
    """A name without a prefix; modules beside the model have perhaps only the first part of it, or nothing.

    Args:
      name: the name.
      prefix: of `uniform_prefix`.

    Returns:
      The rest.
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
