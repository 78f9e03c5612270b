"""Knowledge of the foreign weights of each model family: names, layouts, options, parts.

`family` is the contract, `registry` the table; each family has a file of its name.

In: a model, or names and shapes of weights.
Out: names in PyTorch, options of models.
Imports: `interop.files`.
"""
