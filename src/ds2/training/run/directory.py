"""The directory of a run, new or old, and its settings; judged before torch loads."""

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
    "network": "the weights are of this network",
    "data.language": "the alphabet is made",
    "data.alphabet": "the alphabet is made",
    "data.min_count": "the alphabet is made",
    "training.optimiser": "what it remembers is of this one",
    "training.seed": "the order of the minibatches follows from it",
    "training.init_from": "it has begun",
}
"""Settings of a run that stay, by table or key, and why."""
FREE = ("network.dropout",)
"""Keys of those tables that may change all the same."""


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
    """What the run reads first: manifests and weights; shards may be patterns or addresses."""
    yield from (Path(source) for source in config.data.train if not is_shards(source))
    yield from config.data.dev
    yield from config.data.noise
    if config.training.init_from is not None:
        yield config.training.init_from


def refuse_old_run(run_dir: Path) -> None:
    """Raise InputError if a new run would go where an old one is."""
    if (run_dir / CONFIG).exists():
        raise InputError(
            f"{run_dir}: holds a run already: go on with it by `{command_to_go_on(run_dir)}`, "
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
    """Raise InputError if a setting changes that must stay in a run that goes on."""
    for name in changed_settings(before, after):
        reason = FIXED.get(name) or FIXED.get(name.partition(".")[0])
        if reason and name not in FREE:
            raise InputError(
                f"{run_dir}: --set {name}: cannot change in a run that goes on, for {reason}: "
                "start a new run (training.init_from takes the weights over)"
            )


def in_words(changes: Mapping[str, Sequence[Any]]) -> str:
    """ "training.learning_rate 0.001 -> 0.0005, ..."."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())
