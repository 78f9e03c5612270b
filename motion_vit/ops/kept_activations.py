"""Names of activations, by which rematerialisation keeps them (`jax.checkpoint_policies`)."""

LINEAR_OUTPUT = "linear_output"
"""The output of a linear layer."""

ATTENTION_OUTPUT = "attention_output"
"""What an attention layer gathers, before its projection: small beside what it costs."""
