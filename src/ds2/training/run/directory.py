"""The directory of a run, new or old, and its settings. The checks here need no torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.shards.reading import is_shards
from ds2.training.config import RunConfig, config_to_dict, load_config
from ds2.training.run.stop import command_to_go_on

CONFIG = "config.toml"
FIXED = {
    "features": "the weights have learnt from these features",
    "network": "the weights belong to this network",
    "data.language": "the alphabet exists already",
    "data.alphabet": "the alphabet exists already",
    "data.min_count": "the alphabet exists already",
    "training.optimiser": "the saved state belongs to this optimiser",
    "training.seed": "the order of the minibatches follows from it",
    "training.init_from": "the run has begun already",
}
"""Settings that a run cannot change, by table or key, and the reason."""
FREE = ("network.dropout",)
"""Keys of those tables that a run may change."""


def prepare_run_directory(
    source: Path, run_dir: Path | None, overrides: Sequence[str]
) -> tuple[Path, RunConfig]:
    """The directory and settings of a new run (source: a TOML file) or an old run (source: itself).

    Raises InputError if the directory of a new run holds an old run, if the source is no run, or
    if the settings name a file that does not exist.
    """
    if source.is_dir():
        if run_dir is not None:
            raise InputError(f"{source}: is a run and goes on in its directory: leave out -o")
        config_path = source / CONFIG
        if not config_path.is_file():
            raise InputError(f"{source}: holds no {CONFIG}, so it is not a run to go on with")
        run_dir = source
        config = load_config(config_path, overrides)
        refuse_changes(load_config(config_path), config, source)
    else:
        config = load_config(source, overrides)
        run_dir = run_dir or Path("runs") / source.stem
        refuse_old_run(run_dir)
    for path in _sources(config):
        if not path.exists():
            raise InputError(f"{path}: no such file or directory")
    return run_dir, config


def _sources(config: RunConfig) -> Iterator[Path]:
    """The files of the settings, without shards: shards may be patterns or addresses."""
    yield from (Path(source) for source in config.data.train if not is_shards(source))
    yield from config.data.dev
    yield from config.data.noise
    if config.training.init_from is not None:
        yield config.training.init_from


def refuse_old_run(run_dir: Path) -> None:
    """Raise InputError if the directory holds a run already."""
    if (run_dir / CONFIG).exists():
        raise InputError(
            f"{run_dir}: holds a run already: resume it with `{command_to_go_on(run_dir)}`, "
            "or name another directory with -o"
        )


def changed_settings(before: RunConfig, after: RunConfig) -> dict[str, list[Any]]:
    """The settings that differ: {"training.learning_rate": [1e-3, 5e-4]}."""
    old, new = config_to_dict(before), config_to_dict(after)
    return {
        f"{table}.{key}": [old[table][key], value]
        for table, values in new.items()
        for key, value in values.items()
        if old[table][key] != value
    }


def refuse_changes(before: RunConfig, after: RunConfig, run_dir: Path) -> None:
    """Raise InputError if a resumed run changes a setting that must not change."""
    for name in changed_settings(before, after):
        reason = FIXED.get(name) or FIXED.get(name.partition(".")[0])
        if reason and name not in FREE:
            raise InputError(
                f"{run_dir}: --set {name}: cannot change in a resumed run, because {reason}: "
                "start a new run (training.init_from takes over the weights)"
            )


def in_words(changes: Mapping[str, Sequence[Any]]) -> str:
    """ "training.learning_rate 0.001 -> 0.0005, ..."."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())
