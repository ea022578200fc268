"""ds2: end-to-end speech recognition for English and Mandarin."""

__version__ = "0.1.0"
