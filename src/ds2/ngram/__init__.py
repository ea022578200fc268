"""N-gram language models: their estimation, files, scores and mixtures."""
