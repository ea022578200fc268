"""The exception for unusable input from the user, and hints for misspelt names."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A file, key or value from the user is wrong.

    The message is one line. It names the file, line or key, and says what is wrong and what to do.
    The command line prints it and exits with status 2. It leaves nothing half written.
    """


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """ ": did you mean KNOWN?" if a known name is very similar to the given one, else "".

    It is the end of a message that says what is wrong.
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.55)
    return f": did you mean {by_lower[close[0]]}?" if close else ""
