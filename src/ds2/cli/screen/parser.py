"""The parser of arguments. An error is one line, with the name that the user probably meant."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ds2.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and suggest the right name.

    Every command takes --quiet and --verbose, before its name or after it.
    """

    def __init__(
        self, *args: Any, explain: Callable[[str], str] | None = None, **kwargs: Any
    ) -> None:
        """explain: says what is wrong with a word that is no subcommand; "" for the usual line."""
        super().__init__(*args, **kwargs)
        self._explain = explain
        self._words: list[str] = []  # the arguments
        for short, name, told in (
            ("-q", "--quiet", "show results and errors only: no progress, no notes"),
            ("-v", "--verbose", "show what the command does, and with which files"),
        ):
            self.add_argument(
                short, name, action="store_true", default=argparse.SUPPRESS, help=told
            )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse unknown arguments here, because this knows their command.

        Refuse an empty argument, too: as a path it would mean the working directory.
        """
        self._words = [*(sys.argv[1:] if args is None else args)]
        if "" in self._words:
            place = self._words.index("")
            before = f" after {self._words[place - 1]}" if place else ""
            self.error(f"the argument{before} is empty: is a variable of the shell not set?")
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest)
        return parsed, rest

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write help and version so that a full disk is an error. argparse would ignore it."""
        if file is not sys.stdout:
            super()._print_message(message, file)
        elif message:
            file.write(message)
            file.flush()

    def _refuse(self, rest: Sequence[str]) -> NoReturn:
        options = [argument.partition("=")[0] for argument in rest if argument.startswith("-")]
        if not options:
            self.error(f"{rest[0]}: is one argument too many")
        known = (name for action in self._actions for name in action.option_strings)
        hint = did_you_mean(options[0], known)
        self.error(f"{options[0]}: there is no such option{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not one of the choices. Raises argparse.ArgumentError."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), choices)
        if isinstance(action, argparse._SubParsersAction):
            explained = self._explain(value) if self._explain else ""
            if explained:
                self.exit(2, f"{self.prog}: {explained}\n")
            raise argparse.ArgumentError(None, f"{value}: there is no such command{hint}")
        told = hint or f": use one of {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"{value} is not a choice{told}")

    def error(self, message: str) -> NoReturn:
        """Print the error in one line, and exit with 2."""
        message = message.removeprefix("argument ")
        for word in self._words:
            if word.startswith("-") and word.strip("-") and os.path.lexists(word):
                message = (
                    f"{word}: looks like an option: write ./{word} for the file with this name"
                )
        message = message.replace("the following arguments are required", "missing")
        end = "" if message.endswith("?") else f": `{self.prog} --help` shows all arguments"
        print(f"{self.prog}: {message}{end}", file=sys.stderr)
        self.exit(2)
