"""Video files: probing, decoding, encoding."""
