"""Training: the half of ds2 that needs torch."""
