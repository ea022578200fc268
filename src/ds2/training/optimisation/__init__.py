"""Optimisation of the weights: optimisers, their learning rates, their state."""
