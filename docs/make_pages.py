"""Write the command reference and the settings from the program. --check only compares them."""

import argparse
import ast
import dataclasses
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command_examples import EXAMPLES

DOCS = Path(__file__).parent / "reference"
EVERYWHERE = {"help", "quiet", "verbose"}
"""The options of every command. The page explains them once."""
PLAIN_TITLES = {"positional arguments": "Arguments", "options": "Options"}

CLI_HEAD = """\
# The command line

`make docs` writes this page from the program. `ds2 COMMAND --help` shows the same text in a
terminal.

The meaning of an option ends with its default: the value that ds2 takes if you leave the option
out. You must give an option that is marked **required**. An option without a value is a switch. It
is off by default.

Every command takes these options:

| option | meaning |
|---|---|
| `-h`, `--help` | show the help of the command |
| `-q`, `--quiet` | show results and errors only: no progress, no notes |
| `-v`, `--verbose` | show what the command does, and with which files |

Every command ends with one of these exit codes:

| code | meaning |
|---|---|
| 0 | The command did its work. |
| 1 | The command found errors in the data. Or the system failed, for example with a full disk. |
| 2 | ds2 cannot use the input. One line on standard error names the fault and the remedy. |
| 130 | You interrupted the command with Ctrl-C. |
"""

SETTINGS_HEAD = """\
# Settings of a run

`make docs` writes this page from the program.

A training run reads one TOML file. The file has a table for each part: `[data]`, `[features]`,
`[network]`, `[augmentation]` and `[training]`. `--set training.epochs=5` on the command line
changes one setting.

In `[network]`, `preset = "NAME"` chooses a network, and the other keys change it. The presets are:
{presets}. [Choosing a size](../how-to/choose-a-size.md) helps to choose one.
"""

Table = tuple[tuple[str, str], ...]
"""Rows of a table: what you type, and what it means."""
Group = tuple[str, Table]
"""A group of options: its description, often none, and its rows."""


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and all parsers below it, depth first."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                found += commands(inner)
    return found


def cli_page() -> str:
    """The command reference: a list, the shared options, and a section for each command."""
    from ds2.cli import build_parser

    whole = build_parser()
    parsers, purpose_of = commands(whole)[1:], purposes(whole)
    tables = {parser.prog: dict(groups_of(parser)) for parser in parsers}
    counts = Counter(item for groups in tables.values() for item in groups.items())
    shared = {item for item, count in counts.items() if count > 1 and item[0] not in PLAIN_TITLES}
    lines = [CLI_HEAD, "## All commands", "", "| command | purpose |", "|---|---|"]
    lines += [
        f"| [`{parser.prog}`](#{anchor(parser.prog)}) | {purpose_of[parser.prog]} |"
        for parser in parsers
    ]
    lines.append("")
    for title, (description, rows) in sorted(shared):
        lines += [f"## {heading(title)}", ""]
        lines += [sentence(description), ""] if description else []
        lines += [*table(rows), ""]
    for parser in parsers:
        description = parser.description or purpose_of[parser.prog]
        lines += [f"## {parser.prog}", "", sentence(description), ""]
        lines += section(parser, tables[parser.prog], shared)
    return "\n".join(lines).rstrip() + "\n"


def section(
    parser: argparse.ArgumentParser, groups: dict[str, Group], shared: set[tuple[str, Group]]
) -> list[str]:
    """The actions, the examples and the options of one command."""
    lines = []
    inner = subparsers_of(parser)
    if inner:
        links = (f"[`{one.prog}`](#{anchor(one.prog)})" for one in inner)
        lines += ["Its actions: " + ", ".join(links) + ".", ""]
    if inner and parser.prog not in EXAMPLES:
        return lines
    lines += ["```console", *EXAMPLES[parser.prog], "```", ""]
    for title, group in groups.items():
        if (title, group) in shared:
            name = heading(title)
            lines += [f"It also takes the [{name[0].lower() + name[1:]}](#{anchor(name)}).", ""]
        else:
            own = PLAIN_TITLES.get(title, title[0].upper() + title[1:])
            lines += [f"**{own}**", "", *table(group[1]), ""]
    return lines


def groups_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, Group]]:
    """Title, description and rows of each group of options that is not empty."""
    for group in parser._action_groups:
        rows = tuple(
            (spelling(action), meaning(action))
            for action in group._group_actions
            if action.dest not in EVERYWHERE
            and not isinstance(action, argparse._SubParsersAction)
            and action.help != argparse.SUPPRESS
        )
        if rows:
            yield str(group.title), (group.description or "", rows)


def spelling(action: argparse.Action) -> str:
    """What you type for an argument or option: "`-o`, `--output FILE`"."""
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    if isinstance(value, tuple):
        value = " ".join(value)
    if not action.option_strings:
        return f"`{value}`"
    tail = "" if action.nargs == 0 else f" {value}" if action.nargs != "?" else f" [{value}]"
    names = [name for name in action.option_strings if not _is_older_spelling(name, action)]
    return (
        ", ".join(f"`{name}`" for name in names[:-1])
        + (", " if names[1:] else "")
        + (f"`{names[-1]}{tail}`")
    )


def _is_older_spelling(name: str, action: argparse.Action) -> bool:
    """Whether the name only repeats another one with underscores, such as --max_line_width."""
    return "_" in name and name.replace("_", "-") in action.option_strings


def meaning(action: argparse.Action) -> str:
    """The help text, with a mark if the option is required.

    An option with a value must name its default, and must name the one that the program has.
    """
    text = " ".join((action.help or "").split()).replace("%%", "%")
    if not text:
        raise SystemExit(f"{action.option_strings or action.dest}: give it a help text")
    required = action.option_strings and action.required
    if action.option_strings and action.nargs != 0 and not required:
        told = re.search(r"\(default: (.+)\)$", text)
        default = action.default if isinstance(action.default, str | int | float) else None
        if not told or f"{default}".removesuffix(".0") not in ("None", argparse.SUPPRESS, told[1]):
            raise SystemExit(f'{action.option_strings}: end the help with "(default: ...)"')
    return text + (" **required**" if required else "")


def subparsers_of(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of a command's actions."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return list(dict.fromkeys(action.choices.values()))
    return []


def purposes(parser: argparse.ArgumentParser) -> dict[str, str]:
    """The help line of each command, by its full name."""
    found: dict[str, str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                inner = action.choices[choice.dest]
                found[inner.prog] = " ".join((choice.help or "").split())
                found |= purposes(inner)
    return found


def heading(title: str) -> str:
    """The heading of a group of options that several commands share."""
    name = title.partition(",")[0].partition(" (")[0]
    return f"{name[0].upper()}{name[1:]} options"


def table(rows: Table) -> list[str]:
    """A table in Markdown."""
    head = "argument" if not any("`-" in row[0] for row in rows) else "option"
    body = [f"| {cell(typed)} | {cell(text)} |" for typed, text in rows]
    return [f"| {head} | meaning |", "|---|---|", *body]


def cell(text: str) -> str:
    """Text for a cell. A bar would end the cell, and an angle bracket would begin a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def sentence(text: str) -> str:
    """Text that begins with a capital letter and ends with a full stop."""
    text = " ".join(text.split()).replace("<", "&lt;")
    return text if text.endswith(".") else text[0].upper() + text[1:] + "."


def anchor(title: str) -> str:
    """The fragment that GitHub and the site give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def settings_page() -> str:
    """A table for each part of the settings of a run."""
    from ds2.training.config import RunConfig
    from ds2.training.network.config import PRESETS, ConvolutionConfig

    lines = [SETTINGS_HEAD.format(presets=", ".join(f"`{name}`" for name in PRESETS))]
    parts = [(f"[{field.name}]", field.type) for field in dataclasses.fields(RunConfig)]
    for title, part in [*parts, ("an item of network.convolutions", ConvolutionConfig)]:
        lines += [f"## {title}", "", inspect.getdoc(part) or "", ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {default} | {note} |" for name, default, note in rows(part)]
        lines.append("")
    return "\n".join(lines)


def rows(part: Any) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each field of a dataclass, from its source.

    The meaning is the comment in the lines above the field and the one behind it.
    """
    source = inspect.getsource(part)
    text = source.splitlines()
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or "ClassVar" in ast.unparse(node.annotation):
            continue
        name = ast.unparse(node.target)
        notes = [*above(text, node.lineno - 1), behind(text, node)]
        note = " ".join(note for note in notes if note)
        if not note:
            raise SystemExit(f"{part.__name__}.{name}: give it a comment that explains it")
        default = "**required**" if node.value is None else _toml(ast.unparse(node.value))
        yield name, default, note.replace("|", "\\|") + choices(part, name)


def above(text: list[str], index: int) -> list[str]:
    """The comment lines that end right above a line."""
    start = index
    while start and text[start - 1].strip().startswith("# "):
        start -= 1
    return [line.strip()[2:] for line in text[start:index]]


def behind(text: list[str], node: ast.AnnAssign) -> str:
    """The comment in the last line of a field, or in the first that has one."""
    lines = text[node.lineno - 1 : node.end_lineno]
    notes = [line.partition("  # ")[2] for line in lines if "  # " in line]
    return " ".join(notes)


def choices(part: Any, name: str) -> str:
    """The values of a field that has a fixed choice."""
    for field in dataclasses.fields(part):
        if field.name == name and getattr(field.type, "__args__", None):
            values = [one for one in field.type.__args__ if isinstance(one, str)]  # type: ignore[union-attr]
            if values:
                return "; one of " + ", ".join(f'`"{value}"`' for value in values)
    return ""


def _toml(value: str) -> str:
    """A default as TOML writes it."""
    if "field(" in value or "BASELINE" in value:
        return "by preset"
    words = {"True": "true", "False": "false", "None": "", "()": "[]"}
    if value in words:
        return f"`{words[value]}`" if words[value] else "none"
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
