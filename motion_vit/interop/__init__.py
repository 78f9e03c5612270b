"""Other frameworks at the door: weights that come from, and go to, PyTorch."""
