"""Aligns, cuts and filters long recordings with rough texts."""
