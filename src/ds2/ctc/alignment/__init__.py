"""Finds the times of a known text in a recording, exactly or approximately, in bounded memory."""
