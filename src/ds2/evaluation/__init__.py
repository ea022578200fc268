"""Evaluation of models: error rates, reports, pictures."""
