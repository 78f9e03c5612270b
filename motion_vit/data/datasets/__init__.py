"""One module for each published dataset: how its download is laid out."""
