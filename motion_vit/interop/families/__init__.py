"""What is known about the foreign weights of each model family: names, layouts, options, parts.

In: a model, or names and shapes of weights.
Out: names in PyTorch, options of models.
Imports: `interop.files`.
"""
