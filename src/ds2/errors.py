"""The one exception that means: what the user gave cannot be used."""


class InputError(ValueError):
    """A file, key or value from the user is wrong.

    The message is one line: it names the file, line or key, says what is wrong and what to do.
    The command line prints it and exits with status 2; nothing is left half-written.
    """
