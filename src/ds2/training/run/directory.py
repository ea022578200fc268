"""The directory of a run: a new one from a TOML file, or an old one; judged before torch loads."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ds2.errors import InputError
from ds2.shards.reading import is_shards
from ds2.training.config import RunConfig, load_config

CONFIG = "config.toml"


def prepare_run_directory(
    source: Path, run_dir: Path | None, overrides: Sequence[str]
) -> tuple[Path, RunConfig]:
    """The directory and settings of a new run (from a TOML file) or an old one (itself).

    Raises InputError if a new run would go where an old one is, if there is none to go on with,
    or if the settings name a file that is not there.
    """
    if source.is_dir():
        if run_dir is not None:
            raise InputError(f"{source}: is a run to go on with: leave out -o")
        config_path = source / CONFIG
        if not config_path.is_file():
            raise InputError(f"{source}: holds no {CONFIG}, so it is no run to go on with")
        run_dir = source
        config = load_config(config_path, overrides)
        _refuse_other_model(load_config(config_path), config, source)
    else:
        config = load_config(source, overrides)
        run_dir = run_dir or Path("runs") / source.stem
        if (run_dir / CONFIG).exists():
            raise InputError(
                f"{run_dir}: holds a run already: go on with it by `ds2 train {run_dir}`, "
                "or name another directory with -o"
            )
    for path in _sources(config):
        if not path.exists():
            raise InputError(f"{path}: no such file or directory")
    return run_dir, config


def _sources(config: RunConfig) -> Iterator[Path]:
    """What the run reads first: manifests and weights; shards may be patterns or addresses."""
    yield from (Path(source) for source in config.data.train if not is_shards(source))
    yield from config.data.dev
    yield from config.data.noise
    if config.training.init_from is not None:
        yield config.training.init_from


def _refuse_other_model(old: RunConfig, new: RunConfig, run_dir: Path) -> None:
    """A run that goes on may change its data's place or its length, not what the weights mean."""
    for name, before, after in (
        ("features", old.features, new.features),
        ("network", old.network, new.network),
        ("data.language", old.data.language, new.data.language),
        ("data.alphabet", old.data.alphabet, new.data.alphabet),
        ("training.optimiser", old.training.optimiser, new.training.optimiser),
    ):
        if before != after:
            raise InputError(f"{run_dir}: --set {name}: cannot change in a run that goes on")
