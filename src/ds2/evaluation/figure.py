"""Figures by matplotlib, with Chinese in them: all pictures begin here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.errors import InputError
from ds2.files import atomic_write, check_output
from ds2.installation import needing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = ("png", "svg", "pdf", "jpg")
"""What a figure can be written as."""

CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "Droid Sans Fallback",
)


def import_figure() -> "type[Figure]":
    """matplotlib's figure, with fonts for Chinese. Raises InputError if it is not installed."""
    with needing("show", told="drawing"):
        from matplotlib import font_manager, rcParams
        from matplotlib.figure import Figure
    installed = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in CJK_FONTS if name in installed]
    rcParams["font.family"] = ["DejaVu Sans", *found]
    return Figure


def check_figure(path: Path, *other_forms: str) -> None:
    """Raise InputError if no figure can be written there: before the work, not after it.

    other_forms: what besides figures can be written.
    """
    forms = (*FORMS, *other_forms)
    if form_of(path) not in forms:
        raise InputError(f"{path}: must end in .{', .'.join(forms[:-1])} or .{forms[-1]}")
    check_output(path)
    import_figure()


def form_of(path: Path) -> str:
    """What the name says that the file holds: "png"."""
    return path.suffix.lstrip(".").lower()


def write_figure(figure: "Figure", path: Path, dpi: int, **options: Any) -> None:
    """Write a figure in the form that its name says; options: of matplotlib's `savefig`."""
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=form_of(path), dpi=dpi, **options)


def drawable(symbol: str) -> str:
    """The symbol, or its code point where no installed font can draw it; space as an open box."""
    from matplotlib import rcParams

    if symbol == " ":
        return "\N{OPEN BOX}"
    if len(rcParams["font.family"]) > 1 or all(ord(letter) < 0x2E80 for letter in symbol):
        return symbol
    return " ".join(f"U+{ord(letter):04X}" for letter in symbol)
