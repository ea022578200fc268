"""Figures by matplotlib, with letters of any script; all pictures use this file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.errors import InputError
from ds2.files import atomic_write, check_output
from ds2.installation import needing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = ("png", "svg", "pdf", "jpg")
"""File formats for figures."""

PREFERRED_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "Droid Sans Fallback",
)
"""matplotlib's own font, with letters of Europe and the Near East, and common Chinese fonts."""


def import_figure() -> "type[Figure]":
    """matplotlib's figure. Raises InputError if matplotlib is not installed."""
    with needing("show", told="drawing"):
        from matplotlib.figure import Figure
    return Figure


def choose_fonts(text: str) -> set[str]:
    """Choose fonts that have the characters of a text; return the characters that none has."""
    from matplotlib import font_manager, rcParams

    missing = {character for character in text if character.isprintable()}
    families = []
    order = {name: rank for rank, name in enumerate(PREFERRED_FONTS)}
    fonts = font_manager.fontManager.ttflist
    for font in sorted(fonts, key=lambda font: (order.get(font.name, len(order)), font.name)):
        if not missing:
            break
        try:
            codes = font_manager.get_font(font.fname).get_charmap()
        except (OSError, RuntimeError):  # the font is damaged, or somebody removed it
            continue
        found = {character for character in missing if ord(character) in codes}
        if found:
            families.append(font.name)
            missing -= found
    rcParams["font.family"] = list(dict.fromkeys([PREFERRED_FONTS[0], *families]))
    return missing


def check_figure(path: Path, *other_forms: str) -> None:
    """Raise InputError if the path cannot take a figure, before the work and not after it.

    other_forms: other formats that the path may have.
    """
    forms = (*FORMS, *other_forms)
    if form_of(path) not in forms:
        raise InputError(f"{path}: must end in .{', .'.join(forms[:-1])} or .{forms[-1]}")
    check_output(path)
    import_figure()


def form_of(path: Path) -> str:
    """The format by the file's name: "png"."""
    return path.suffix.lstrip(".").lower()


def write_figure(figure: "Figure", path: Path, dpi: int, **options: Any) -> None:
    """Write a figure in the format of its name; options: those of matplotlib's `savefig`."""
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=form_of(path), dpi=dpi, **options)


def drawable(symbol: str, missing: set[str], space: str = "\N{OPEN BOX}") -> str:
    """The symbol, with code points for characters without a font, and a box for a single space."""
    if symbol == " ":
        return space
    return "".join(c if c not in missing else f"U+{ord(c):04X} " for c in symbol).rstrip()
