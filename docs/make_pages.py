"""Write the command reference and the settings from the program; --check tells if they are old."""

import argparse
import ast
import dataclasses
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "88"  # argparse wraps to the terminal; the page must not depend on it
DOCS = Path(__file__).parent / "reference"


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and all parsers below it, depth first."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                found += commands(inner)
    return found


def cli_page() -> str:
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


def settings_page() -> str:
    from ds2.training.config import RunConfig
    from ds2.training.network.config import PRESETS, ConvolutionConfig

    lines = [
        "# Settings of a run",
        "",
        "Made by `make docs` from the program itself. One TOML file for a run, a table for each",
        'part; `--set training.epochs=5` overrides. In `[network]`, `preset = "NAME"` names what',
        "the other keys change: " + ", ".join(f"`{name}`" for name in PRESETS) + ".",
        "",
    ]
    parts = [(f"[{field.name}]", field.type) for field in dataclasses.fields(RunConfig)]
    for title, part in [*parts, ("an item of network.convolutions", ConvolutionConfig)]:
        lines += [f"## {title}", "", inspect.getdoc(part) or "", ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {default} | {note} |" for name, default, note in rows(part)]
        lines.append("")
    return "\n".join(lines)


def rows(part: Any) -> Iterator[tuple[str, str, str]]:
    """Name, default and comment of each field of a dataclass, from its source."""
    source = inspect.getsource(part)
    text = source.splitlines()
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign):
            continue
        line = text[(node.end_lineno or node.lineno) - 1]
        note = line.partition("  # ")[2]
        default = "" if node.value is None else _toml(ast.unparse(node.value))
        yield ast.unparse(node.target), default, note.replace("|", "\\|")


def _toml(value: str) -> str:
    """A default as one would write it in TOML."""
    if "field(" in value or "BASELINE" in value:
        return "by preset"
    words = {"True": "true", "False": "false", "None": "", "()": "[]"}
    if value in words:
        return f"`{words[value]}`" if words[value] else ""
    return "`" + value.replace("'", '"').replace("(", "[").replace(")", "]") + "`"


def main() -> int:
    pages = {"cli.md": cli_page(), "settings.md": settings_page()}
    status = 0
    for name, text in pages.items():
        path = DOCS / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(
                f"docs/reference/{name} is out of date: run `make docs` and commit it",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
