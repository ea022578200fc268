"""Public corpora, with their official splits, to manifests."""
