"""The error for a format whose packages are not installed."""

from motion_vit.errors import UserError

EXTRAS = {"onnx": "onnx", "savedmodel": "tensorflow", "tflite": "tflite", "torch": "torch"}
"""The extra of this library with the packages that a format needs, to be written and to be verified."""


def missing_package(file_format: str, error: ImportError) -> UserError:
    """Makes the error to raise in place of an `ImportError`.

    Args:
      file_format: the format that needs the package.
      error: raised by the import.

    Returns:
      An error that says what to install.
    """
    return UserError(
        f"the format {file_format} needs the package {error.name or error}, which is not installed. Install it with "
        f"`pip install 'motion_vit[{EXTRAS[file_format]}]'`."
    )
