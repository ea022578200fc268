"""What a client asked for and cannot have."""


class Refused(Exception):
    """What a client asked for cannot be done; the message is for the client to read."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        """status: HTTP's: 400, 401, 403, 404, 408, 413, 429, 500, 503; param: the key at fault."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
