"""Records what `ds2 corpus prepare` did in a directory, so that the next run can continue."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.files import atomic_write

NAME = "prepare.json"


@dataclass(frozen=True)
class Prepared:
    """A split and its manifest."""

    name: str
    manifest: Path
    num_utterances: int
    hours: float
    num_speakers: int
    lacks: tuple[str, ...] = ()  # lines about missing parts
    notes: tuple[str, ...] = ()
    is_written: bool = True
    was_done: bool = False  # done by an earlier run


@dataclass
class Record:
    """The list of finished splits, in a file beside their manifests."""

    path: Path
    corpus: str
    facts: dict[str, Any]  # empty: nothing is done here yet

    @classmethod
    def of(cls, directory: Path, corpus: str) -> "Record":
        """The record in the directory, or a new one. Raises InputError for another corpus."""
        path = directory / NAME
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls(path, corpus, {})
        except (OSError, ValueError):
            facts = None
        if not isinstance(facts, dict) or not isinstance(facts.get("splits"), dict):
            raise InputError(
                f"{path}: is not a record of ds2 corpus prepare: remove it, or name another "
                "directory with -o"
            )
        if facts.get("corpus") != corpus:
            raise InputError(
                f"{directory}: holds manifests of {facts.get('corpus')}: name another directory "
                "with -o"
            )
        return cls(path, corpus, facts)

    def done(self, source: Mapping[str, Any], names: Sequence[str] | None) -> list[Prepared]:
        """The complete splits from this source that still have their manifest.

        names: the splits to look for; None: all, if a run reached its end.
        """
        splits = self.facts.get("splits", {})
        if names is None:
            names = list(splits) if self.facts.get("finished") == source else []
        found = []
        for name in names:
            known = splits.get(name, {})
            manifest = self.path.parent / f"{name}.jsonl"
            if known.get("source") == source and known.get("complete") and manifest.exists():
                counts = (known["utterances"], known["hours"], known["speakers"])
                found.append(Prepared(name, manifest, *counts, was_done=True))
        return found

    def check_free(self, manifest: Path) -> None:
        """Raise InputError for an existing manifest that no run made."""
        if not self.facts and manifest.exists():
            raise InputError(
                f"{manifest}: exists already, and ds2 corpus prepare did not make it: move it "
                "away, or name another directory with -o"
            )
        if not self.facts:
            self._save({"corpus": self.corpus, "splits": {}})

    def add(self, prepared: Prepared, source: Mapping[str, Any]) -> None:
        """Add a split with a finished manifest."""
        entry = {
            "utterances": prepared.num_utterances,
            "hours": prepared.hours,
            "speakers": prepared.num_speakers,
            "complete": not prepared.lacks,
            "source": source,
        }
        self._save(self.facts | {"splits": self.facts["splits"] | {prepared.name: entry}})

    def finish(self, source: Mapping[str, Any]) -> None:
        """Note that the run has read all splits of the source."""
        if self.facts:
            self._save(self.facts | {"finished": source})

    def _save(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        with atomic_write(self.path) as file:
            file.write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
