"""A trained model: its features, its exported network, the bundle that holds both."""
