"""The embedded motion dataset, rendered."""
