"""Long recordings with rough texts: aligned, cut, filtered."""
