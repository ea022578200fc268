"""The protocols of clients, each in its own file or folder."""
