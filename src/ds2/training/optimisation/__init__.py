"""How weights move: optimisers, their learning rates, what they remember."""
