"""Where models lie: those that come with ds2, and those that a user has put beside them."""

import os
from collections.abc import Iterator
from pathlib import Path

FACTS = "bundle.json"
SHIPPED = ("en", "zh")
"""The models that come with ds2; pyproject.toml puts them into the wheel."""
DEFAULT_MODEL = "en"
VARIABLE = "DS2_MODELS"
"""Of the environment: a directory of models, which is looked into first."""
PACKAGE = Path(__file__).resolve().parents[1]


def data_directory() -> Path:
    """Where `ds2 models get` puts models: by the rules of the system for data of a user."""
    import platformdirs  # here, for what begins by asking for the default model's name

    return platformdirs.user_data_path("ds2", appauthor=False) / "models"


def shipped_directory() -> Path:
    """The models that come with ds2: in the package, or beside the sources it is run from."""
    installed = PACKAGE / "shipped_models"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "models"


def is_shipped(path: Path) -> bool:
    """Whether the bundle came with ds2, so that it is never changed."""
    found = path.resolve()
    return found.parent == shipped_directory().resolve() and found.name in SHIPPED


def model_places() -> list[Path]:
    """The directories that a bare name, say "en", is looked for in, the first of them first."""
    places = [Path("models"), data_directory(), shipped_directory()]
    if os.environ.get(VARIABLE):
        places.insert(0, Path(os.environ[VARIABLE]))
    return places


def named_models() -> Iterator[tuple[str, Path]]:
    """Every name that -m takes, and the bundle's directory that it means; not verified."""
    seen: set[str] = set()
    for place in model_places():
        for facts in sorted(place.glob(f"*/{FACTS}")):
            name = facts.parent.name
            if name not in seen and not name.startswith("."):  # a bundle that is being written
                seen.add(name)
                yield name, facts.parent
