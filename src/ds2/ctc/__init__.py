"""CTC: from log_probs to hypotheses, and from a known text to its times."""
