"""Imports TensorFlow for exports."""

import os
from typing import Any

from motion_vit.interop.exporting.missing_package import missing_package


def import_tensorflow(file_format: str) -> Any:
    """Imports TensorFlow, which converts on the CPU and leaves accelerators to JAX.

    Args:
      file_format: the format that needs it, for the message.

    Returns:
      The package.

    Raises:
      UserError: it is not installed.
    """
    # Its notices about CPU features; what matters is raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow
    except ImportError as error:
        raise missing_package(file_format, error) from error
    tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow
