"""The places of models: those that come with ds2, and those that a user has added."""

import os
from collections.abc import Iterator
from pathlib import Path

FACTS = "bundle.json"
SHIPPED = ("en", "zh")
"""The models that come with ds2; pyproject.toml puts them into the wheel."""
DEFAULT_MODEL = "en"
VARIABLE = "DS2_MODELS"
"""The environment variable that names a directory of models. ds2 looks there first."""
PACKAGE = Path(__file__).resolve().parents[1]


def data_directory() -> Path:
    """The directory where `ds2 models get` puts models: the system's place for a user's data."""
    import platformdirs  # here, because commands import this module for the default model's name

    return platformdirs.user_data_path("ds2", appauthor=False) / "models"


def shipped_directory() -> Path:
    """The directory of the models that come with ds2: in the package, or beside the sources."""
    installed = PACKAGE / "shipped_models"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "models"


def is_shipped(path: Path) -> bool:
    """Whether the bundle came with ds2, so that it is never changed."""
    found = path.resolve()
    return found.parent == shipped_directory().resolve() and found.name in SHIPPED


def model_places() -> list[Path]:
    """The directories where ds2 looks for a bare name, say "en", in this order."""
    places = [Path("models"), data_directory(), shipped_directory()]
    if os.environ.get(VARIABLE):
        places.insert(0, Path(os.environ[VARIABLE]))
    return places


def named_models() -> Iterator[tuple[str, Path]]:
    """Every name that -m takes, and the bundle's directory. The bundles are not verified."""
    seen: set[str] = set()
    for place in model_places():
        for facts in sorted(place.glob(f"*/{FACTS}")):
            name = facts.parent.name
            if name not in seen and not name.startswith("."):  # a bundle that a process is writing
                seen.add(name)
                yield name, facts.parent
