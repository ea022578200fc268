"""The error of a request that the server refuses."""


class Refused(Exception):
    """The server cannot do what a client asked for. The message is for the client."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        """status: of HTTP: 400, 401, 403, 404, 408, 413, 429, 500, 503. param: the key at fault."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
