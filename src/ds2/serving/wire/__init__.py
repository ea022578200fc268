"""What protocols share: sockets, uploads, JSON, audio as it arrives."""
