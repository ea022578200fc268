"""The quickstart's artificial speech and settings, for the tests of training."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np

from ds2.training.config import RunConfig, load_config

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "recipes" / "quickstart" / "quickstart.toml"
RECIPE = runpy.run_path(str(QUICKSTART.with_name("make_data.py")))


def write_tones(directory: Path, name: str, texts: list[str], seed: int = 0) -> Path:
    """Write recordings of texts over the letters a to e; return the path of their manifest."""
    manifest: Path = RECIPE["write_part"](directory, name, texts, np.random.default_rng(seed))
    return manifest


def random_texts(num_texts: int, seed: int = 0) -> list[str]:
    texts: list[str] = RECIPE["random_texts"](num_texts, np.random.default_rng(seed))
    return texts


def tone_settings(train: Path, dev: Path, **settings: Any) -> list[str]:
    """Overrides for the quickstart: tone_settings(..., training__epochs=3)."""
    manifests = {"data__train": [str(train)], "data__dev": [str(dev)]}
    overrides = {**manifests, "data__cache_gb": 0, **settings}
    return [f"{name.replace('__', '.')}={_toml(value)}" for name, value in overrides.items()]


def tone_config(train: Path, dev: Path, **settings: Any) -> RunConfig:
    return load_config(QUICKSTART, tone_settings(train, dev, **settings))


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
