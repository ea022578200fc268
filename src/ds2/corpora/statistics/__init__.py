"""Describes a corpus in figures and plots."""
