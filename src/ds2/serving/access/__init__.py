"""Access to the server: API keys, client secrets, rates."""
