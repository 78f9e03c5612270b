"""Trained models that are installed with the library: weights folders that `--checkpoint NAME` takes by name."""
