"""For the reference of the Python API: lines "name: meaning" of a docstring become a list.

mkdocstrings would join such lines to one paragraph. `zensical.toml` names this extension of griffe.
"""

import re
from typing import Any

from griffe import Extension, Function

NAMED = re.compile(r"^(\w+): ", re.MULTILINE)


class ParameterLists(Extension):  # type: ignore[misc]
    """Makes items of the lines that begin with the name of a parameter."""

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Change the docstring of a function or method, where it has parameters."""
        if func.docstring is None:
            return
        names = {parameter.name for parameter in func.parameters}
        text = func.docstring.value
        # A line may hold several, parted by semicolons.
        text = re.sub(r"; (\w+): ", lambda m: f".\n{m[1]}: " if m[1] in names else m[0], text)
        lines: list[str] = []
        in_list = False
        for line in text.splitlines():
            named = NAMED.match(line)
            if named and (named[1] in names or named[1] == "returns"):
                lines += [] if in_list else [""]
                lines.append(f"- `{named[1]}`: {line[named.end() :]}")
                in_list = True
            else:
                ends = in_list and line and not line.startswith(" ")
                lines += ["", line] if ends else [line]
                in_list = in_list and not ends and bool(line)
        func.docstring.value = "\n".join(lines)
