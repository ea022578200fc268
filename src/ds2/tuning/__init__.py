"""Tune the settings of the beam search on a development set."""
