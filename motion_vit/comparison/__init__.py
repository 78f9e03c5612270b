"""Several recipes trained on the same data with the same seeds, side by side."""
