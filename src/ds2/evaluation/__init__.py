"""How good a model is: error rates, reports, pictures."""
