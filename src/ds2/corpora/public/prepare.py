"""Turns public corpora into manifests: downloads, finds, reads, verifies and writes each split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ds2.corpora.public.download import Archive, Report, fetch_archive
from ds2.corpora.public.found import Asked, Found, Split, what_is_more, what_lacks
from ds2.corpora.public.known import CORPORA, Corpus, lhotse_corpus
from ds2.corpora.public.lhotse_recipes import download as download_with_lhotse
from ds2.corpora.public.lhotse_recipes import recipe_names
from ds2.corpora.public.record import Prepared, Record
from ds2.corpora.public.unpack import is_unpacked, unpack
from ds2.errors import InputError, did_you_mean
from ds2.installation import install_command
from ds2.manifest import write_manifest

OTHER_NAMES = {
    "aishell-1": "aishell",
    "aishell1": "aishell",
    "thchs30": "thchs-30",
    "commonvoice": "common-voice",
    "mini-librispeech-2": "mini-librispeech",
    "tedlium3": "tedlium",
    "ted-lium": "tedlium",
    "lj-speech": "ljspeech",
}

OWN = "for your own recordings use `ds2 corpus import`"
"""Advice for a user who names something other than a public corpus."""


@dataclass(frozen=True)
class Request:
    """The corpus to prepare, its place, and the settings."""

    corpus: Corpus
    directory: Path  # of the copy, or for the download
    output: Path | None = None  # None: the directory
    splits: Sequence[str] = ()  # empty: all in the copy
    language: str | None = None
    downloads: bool = False
    mirror: str | None = None
    allows_incomplete: bool = False
    repeats: bool = False  # prepare splits of an earlier run again
    options: Mapping[str, Any] = field(default_factory=dict)
    num_threads: int = 1


def corpus_named(name: str) -> Corpus:
    """The corpus with this name. Raises InputError that suggests the nearest name."""
    wanted = name.lower().replace("_", "-")
    wanted = OTHER_NAMES.get(wanted, wanted)
    if wanted in CORPORA:
        return CORPORA[wanted]
    names = list(CORPORA)
    try:
        of_lhotse = {key.replace("_", "-"): key for key in recipe_names()}
    except InputError:
        raise InputError(
            f"{name}: no such corpus{did_you_mean(wanted, names)}; without lhotse ds2 knows only "
            f"{', '.join(names)} ({install_command('corpora')} adds the others); {OWN}"
        ) from None
    if wanted in of_lhotse:
        return lhotse_corpus(of_lhotse[wanted])
    raise InputError(
        f"{name}: no such corpus{did_you_mean(wanted, [*names, *of_lhotse])}; "
        f"ds2 corpus prepare --list names all; {OWN}"
    )


def prepare(request: Request, report: Report) -> list[Prepared]:
    """Write a manifest for each complete split. This continues an earlier run that stopped.

    An incomplete split gets no manifest, unless the request allows it: see `is_written`.
    Raises InputError.
    """
    corpus, output = request.corpus, request.output or request.directory
    _check(request)
    record = Record.of(output, corpus.name)
    fetched = _download(request, report) if request.downloads else None
    root = fetched or _root(request)
    label = f"{root.name}-" if corpus.is_by_language else ""
    splits = {f"{label}{split.name}": split for split in _splits(request, root)}
    source = {"root": str(root), "options": dict(request.options), "language": request.language}
    names = list(splits) if corpus.splits else None
    done = [] if request.repeats else record.done(source, names)
    by_name = {entry.name: entry for entry in done if _is_asked(entry.name, request)}
    wanted = [split for name, split in splits.items() if name not in by_name]
    if by_name and not wanted:
        return list(by_name.values())
    asked = Asked(root, wanted, request.language, request.options, request.num_threads, report)
    for name, found in corpus.read(asked):
        if _is_asked(name, request):
            split = replace(splits.get(f"{label}{name}", Split(name, "")), name=f"{label}{name}")
            by_name[split.name] = _judged(split, found, output, request.allows_incomplete)
            _write(by_name[split.name], found, record, source)
    _check_asked(request, by_name, root)
    if not request.splits:
        record.finish(source)
    return list(by_name.values())


def _check(request: Request) -> None:
    """Raise InputError for splits and options that the corpus lacks, before any download."""
    corpus = request.corpus
    _known(request)
    if request.language and corpus.splits and not corpus.is_by_language:
        raise InputError(f"--language {request.language}: {corpus.name} has only one: leave it out")
    if request.options and not corpus.is_read_by_lhotse:
        raise InputError(f"--option: ds2 reads {corpus.name} without lhotse: leave it out")


def _is_asked(name: str, request: Request) -> bool:
    """Whether the request wants a split. Known corpora choose their splits beforehand."""
    return bool(request.corpus.splits) or not request.splits or name in request.splits


def _check_asked(request: Request, found: Mapping[str, Prepared], root: Path) -> None:
    """Raise InputError if there are no utterances."""
    if not found:
        wanted = f" in --split {', '.join(request.splits)}" if request.splits else ""
        raise InputError(f"{root}: holds no utterances of {request.corpus.name}{wanted}")


def _judged(split: Split, found: Found, output: Path, allows_incomplete: bool) -> Prepared:
    lacks = tuple(what_lacks(split, found))
    if not found.utterances and not lacks:
        lacks = (f"{split.name}: holds no utterances",)
    return Prepared(
        name=split.name,
        manifest=output / f"{split.name}.jsonl",
        num_utterances=len(found.utterances),
        hours=found.hours,
        num_speakers=found.num_speakers,
        lacks=lacks,
        notes=tuple(what_is_more(split, found)),
        is_written=bool(found.utterances) and (allows_incomplete or not lacks),
    )


def _write(prepared: Prepared, found: Found, record: Record, source: Mapping[str, Any]) -> None:
    if prepared.is_written:
        record.check_free(prepared.manifest)
        write_manifest(prepared.manifest, found.utterances)
        record.add(prepared, source)


def _download(request: Request, report: Report) -> Path | None:
    """Download the missing parts. Gives the corpus's root if lhotse chose it. Raises InputError."""
    corpus, directory = request.corpus, request.directory
    if not corpus.splits:
        directory.mkdir(parents=True, exist_ok=True)
        report(f"downloading {corpus.name}", None)
        return download_with_lhotse(corpus.name, directory)
    if not corpus.archives:
        raise InputError(
            f"--download: ds2 cannot download {corpus.name}: {corpus.source}: unpack it and name "
            "its directory"
        )
    names = {split.name for split in _known(request)}
    for archive in corpus.archives:
        path = directory / archive.name
        if archive.splits and not names & set(archive.splits):
            continue
        if is_unpacked(path) or _was_unpacked_by_hand(request, archive, path):
            continue
        fetch_archive(archive, path, report, mirror=request.mirror)
        unpack(path, report, inner=corpus.inner)
    return None


def _was_unpacked_by_hand(request: Request, archive: Archive, path: Path) -> bool:
    """Whether the content of the archive exists, but the archive does not."""
    corpus, directory = request.corpus, request.directory.absolute()
    if path.exists() or path.with_name(path.name + ".part").exists() or not directory.is_dir():
        return False
    splits = [split for split in corpus.splits if split.name in (archive.splits or (split.name,))]
    return any(
        _is_root(corpus, root, directory) and all((root / s.place).exists() for s in splits)
        for root in _candidates(corpus, directory)
    )


def _known(request: Request) -> list[Split]:
    """The splits of the request. Raises InputError for one that the corpus lacks."""
    splits = request.corpus.splits
    if not request.splits:
        return [split for split in splits if split.is_usual]
    names = [split.name for split in splits]
    for name in request.splits:
        if splits and name not in names:
            raise InputError(
                f"--split {name}: {request.corpus.name} has {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )
    return [split for split in splits if split.name in request.splits]


def _root(request: Request) -> Path:
    """The root of the corpus, in the directory or a little below. Raises InputError."""
    corpus, directory = request.corpus, request.directory.absolute()
    if not directory.is_dir():
        hint = "" if request.downloads else "; --download gets it" * bool(corpus.archives)
        raise InputError(
            f"{request.directory}: is not a directory with a copy of {corpus.name}{hint}"
        )
    if not corpus.splits:
        return directory
    roots = [path for path in _candidates(corpus, directory) if _is_root(corpus, path, directory)]
    if corpus.is_by_language:
        return _root_of_language(request, roots)
    if not roots:
        raise _not_there(request)
    return roots[0]


def _candidates(corpus: Corpus, directory: Path) -> list[Path]:
    found = []
    for pattern in corpus.roots:
        if "*" in pattern:
            found += sorted(directory.glob(pattern))
        else:
            found.append(Path(os.path.normpath(directory / pattern)))
    return found


def _is_root(corpus: Corpus, root: Path, directory: Path) -> bool:
    """Whether a split is there and inside the directory. The root may be above the directory."""
    if corpus.splits[0].place == "":
        return any(root.glob("*.wav"))
    places = (root / split.place for split in corpus.splits)
    return any(place.exists() and place.is_relative_to(directory) for place in places)


def _root_of_language(request: Request, roots: Sequence[Path]) -> Path:
    if not roots:
        raise _not_there(request)
    languages = sorted({path.name for path in roots})
    wanted = request.language or languages[0]
    if request.language is None and len(languages) > 1:
        raise InputError(
            f"{request.directory}: holds {', '.join(languages)}: choose with --language"
        )
    chosen = [path for path in roots if path.name == wanted]
    if not chosen:
        raise InputError(
            f"--language {wanted}: {request.directory} holds {', '.join(languages)}"
            f"{did_you_mean(wanted, languages)}"
        )
    if len(chosen) > 1:
        raise InputError(
            f"{request.directory}: holds {wanted} in {len(chosen)} releases: name the "
            "directory of one"
        )
    if not (chosen[0] / "clips").is_dir():
        raise InputError(f"{chosen[0] / 'clips'}: is missing: the copy is incomplete")
    return chosen[0]


def _not_there(request: Request) -> InputError:
    corpus, directory = request.corpus, request.directory
    packed = [archive.name for archive in corpus.archives if (directory / archive.name).exists()]
    inner = _inner(directory, corpus.inner) if corpus.inner else []
    if inner:
        hint = f"{inner[0]} is not unpacked ({len(inner):,} such files): unpack each where it lies"
    elif packed:
        hint = f"{packed[0]} is not unpacked: unpack it, or add --download"
    elif not any(directory.iterdir()):
        how = "--download gets it" if corpus.archives else corpus.source
        hint = f"the directory is empty: {how}"
    else:
        places = [split.place or "*.wav" for split in corpus.splits[:3]]
        hint = f"looked for {', '.join(dict.fromkeys(places))}; {OWN}"
    return InputError(f"{directory}: holds no copy of {corpus.name}: {hint}")


def _inner(directory: Path, pattern: str) -> list[Path]:
    """Archives inside the archives. The directory may hold the corpus or be the corpus."""
    _, _, below = pattern.partition("/")
    return sorted(directory.glob(pattern)) or sorted(directory.glob(below))


def _splits(request: Request, root: Path) -> list[Split]:
    """The splits to read: those of the request, or else all that exist. Raises InputError."""
    corpus, known = request.corpus, _known(request)
    there = [split for split in known if (root / split.place).exists()]
    needed = corpus.splits if corpus.is_whole else known if request.splits else ()
    for split in needed:
        if not (root / split.place).exists():
            whole = ", and ds2 can only read it as a whole" if corpus.is_whole else ""
            raise InputError(
                f"{root / split.place}: is missing: the copy of {corpus.name} lacks "
                f"{split.name}{whole}"
            )
    if known and not there:
        raise _not_there(request)
    return there
