"""Write docs/cli.md from the program's own parsers; with --check, fail when it is out of date."""

import argparse
import os
import sys
from pathlib import Path

os.environ["COLUMNS"] = "88"  # argparse wraps to the terminal; the page must not depend on it
PAGE = Path(__file__).parent / "cli.md"


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and all parsers below it, depth first."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                found += commands(inner)
    return found


def page() -> str:
    from ds2.cli import build_parser

    lines = [
        "# The command line",
        "",
        "Made by `make docs` from the program itself. Exit codes: 0 done, 1 the command found",
        "something wrong in what it was asked to judge, 2 the input cannot be used (one line on",
        "standard error names the file, line or key and says what to do), 130 interrupted.",
        "",
    ]
    for parser in commands(build_parser()):
        lines += [f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/cli.md is out of date: run `make docs` and commit it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
