"""Names of the forms that weights are stored in. They are known without JAX, as the command line's `--help` needs."""

from typing import Literal, TypeAlias

WeightDtype: TypeAlias = Literal["float32", "bfloat16", "float16", "int8-weights"]
