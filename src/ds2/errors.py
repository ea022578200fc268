"""The one exception that means: what the user gave cannot be used; and hints for misspelt names."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A file, key or value from the user is wrong.

    The message is one line: it names the file, line or key, says what is wrong and what to do.
    The command line prints it and exits with status 2; nothing is left half-written.
    """


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """ ": did you mean KNOWN?" if a known name is much like the given one, else "".

    It goes at the end of a message that says what is wrong.
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.55)
    return f": did you mean {by_lower[close[0]]}?" if close else ""
