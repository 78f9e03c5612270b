"""Videos on disk to batches of uint8 clips; knows nothing of models."""
