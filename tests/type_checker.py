"""Annotations held against the values, where tests run with `MOTION_VIT_CHECK_TYPES=1` (see `conftest.py`)."""

from beartype import BeartypeConf, beartype

# As type checkers read annotations (PEP 484): a float may be an int.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
