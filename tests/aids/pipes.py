"""A pipe, for tests of reading."""

import io


class Pipe:
    """A file that can only be read forwards, and that counts the bytes read."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.num_read = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.num_read += len(data)
        return data

    def seekable(self) -> bool:
        return False
