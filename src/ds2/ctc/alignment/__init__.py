"""Known texts to times: exact, approximate, in bounded memory."""
