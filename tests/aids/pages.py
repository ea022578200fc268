"""The pages of the documentation, and their content."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def pages(*patterns: str) -> list[str]:
    """The paths of pages, relative to the repository."""
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [str(path.relative_to(ROOT)) for path in found]


ALL = pages(
    "*.md", "docs/**/*.md", "recipes/**/README.md", "models/*/README.md", "samples/README.md"
)
ALL += pages("benchmarks/README.md", "deploy/README.md", "examples/README.md")
TASKS = pages("README.md", "docs/tutorial/*.md", "docs/how-to/*.md", "docs/reference/cli.md")
"""The pages whose commands the tests run."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> Iterator[str]:
    """The blocks of code of a page in these languages."""
    for language, block in FENCE.findall(text_of(page)):
        if language in languages:
            yield block


def commands_in(page: str) -> list[str]:
    """The commands of console blocks, continued lines joined, comments left out."""
    joined = "".join(blocks(page, "console", "sh")).replace("\\\n", " ")
    return [line.split("  #")[0].strip() for line in joined.splitlines() if line.strip()]


@dataclass(frozen=True)
class Call:
    """The call of ds2 in a command."""

    arguments: list[str]
    input_path: str | None  # the file after "<"

    @classmethod
    def of(cls, command: str) -> "Call | None":
        """The call in a command, also after a pipe or torchrun; None if there is none."""
        words = shlex.split(command, comments=True)
        if "--no-python" in words:
            words = words[words.index("--no-python") + 1 :]
        if "|" in words and words[0] != "ds2":
            words = words[words.index("|") + 1 :]
        if not words or Path(words[0]).name != "ds2":
            return None
        ends = [words.index(mark) for mark in ("|", "<") if mark in words]
        source = words[words.index("<") + 1] if "<" in words else None
        return cls(words[1 : min(ends, default=len(words))], source)
