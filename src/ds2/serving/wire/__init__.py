"""The parts that protocols share: sockets, uploads, JSON, arriving audio."""
