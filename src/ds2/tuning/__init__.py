"""Settings of the beam search that fit a development set."""
