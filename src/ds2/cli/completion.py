"""`ds2 completion`: prints the lines with which a shell completes commands and options."""

import argparse

from ds2.errors import InputError

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "completion",
        help="let the shell complete commands and options",
        description="Print the lines with which a shell completes the commands, options and names "
        "of "
        'ds2 when you press Tab. For bash, write eval "$(ds2 completion bash)" into ~/.bashrc. For '
        "zsh, write the same line with zsh in place of bash into ~/.zshrc. For fish, save the "
        "lines in ~/.config/fish/completions/ds2.fish.",
    )
    parser.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help="name of the shell: " + ", ".join(SHELLS)
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the lines."""
    from argcomplete.shell_integration import shellcode

    code: str = shellcode(["ds2"], shell=args.shell)
    if not code.strip():
        raise InputError(f"{args.shell}: there is no completion for this shell")
    print(code)


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the question of the shell, then exit."""
    import argcomplete

    argcomplete.autocomplete(parser)
