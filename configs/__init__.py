"""Recipes, installed as `motion_vit.recipes`: each file is the whole truth about a training run."""
