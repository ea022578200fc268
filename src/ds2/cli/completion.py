"""`ds2 completion`: what a shell needs to complete commands, options and names with Tab."""

import argparse

from ds2.errors import InputError

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "completion",
        help="let the shell complete commands and options",
        description="Print the lines that make a shell complete ds2's commands, options and names "
        'with the Tab key. For bash and zsh put eval "$(ds2 completion bash)" into ~/.bashrc '
        "or ~/.zshrc, with the name of the shell; for fish write them to "
        "~/.config/fish/completions/ds2.fish.",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the lines."""
    from argcomplete.shell_integration import shellcode

    code: str = shellcode(["ds2"], shell=args.shell)
    if not code.strip():
        raise InputError(f"{args.shell}: there is no completion for this shell")
    print(code)


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and exit."""
    import argcomplete

    argcomplete.autocomplete(parser)
