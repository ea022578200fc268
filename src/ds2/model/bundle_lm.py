"""A bundle's language model: adding, replacing and removing it, whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.files import atomic_write, make_neighbour
from ds2.model.bundle import (
    LM,
    Bundle,
    LmFacts,
    check_place,
    load_bundle,
    put_in_place,
    read_facts,
    with_lm,
    write_facts,
)
from ds2.model.places import is_shipped
from ds2.ngram.binary import HEADER_BYTES, is_model
from ds2.ngram.columns import Workspace
from ds2.ngram.model import NgramModel
from ds2.ngram.writing import save_model

BLOCK_BYTES = 1 << 20


def add_lm(path: Path, source: Path, decoding: BeamSettings, target: Path | None = None) -> Bundle:
    """Make the model in `source` the language model of the bundle at `path`, or of a copy.

    The work may be cut short at any moment. The bundle then has its old language model, none, or
    the new one. bundle.json never names a file that is missing or is another one.

    source: a file that `ds2 lm` wrote, or an ARPA file, which is converted.
    target: the place of the changed copy; None changes the bundle itself.

    Raises InputError if the model does not fit or is damaged, or if the bundle cannot be written.
    The bundle then stays as it was.
    """
    bundle = load_bundle(path, verify_lm_header=False)
    model = NgramModel.load(source)
    model.require(bundle.alphabet.word_unit, bundle.alphabet.language)
    model.verify()
    with _as_binary(source, model) as binary, _changing(path, target) as directory:
        with atomic_write(directory / LM, "wb") as file:
            lm = _copy(binary, file)
            file.flush()
            os.fsync(file.fileno())  # a full disk shows here, while the old one is still named
            if bundle.lm:
                _write_names(directory, None, None)
        _write_names(directory, lm, decoding)
    return load_bundle(target or path)


def change_decoding(path: Path, decoding: BeamSettings, target: Path | None = None) -> Bundle:
    """Give the language model of a bundle, or of a copy of it, other settings.

    Raises InputError if it has none.
    """
    bundle = load_bundle(path)
    if bundle.lm is None:
        raise InputError(f"{path}: holds no language model: add one with `ds2 bundle add-lm`")
    with _changing(path, target) as directory:
        _write_names(directory, bundle.lm, decoding)
    return load_bundle(target or path)


def remove_lm(path: Path, target: Path | None = None) -> Bundle:
    """Take the language model out of a bundle, or out of a copy of it.

    Raises InputError if it has none.
    """
    bundle = load_bundle(path, verify_lm_header=False)
    if bundle.lm is None and not (path / LM).exists():
        raise InputError(f"{path}: holds no language model")
    with _changing(path, target) as directory:
        _write_names(directory, None, None)
        (directory / LM).unlink(missing_ok=True)
    return load_bundle(target or path)


def check_writable(path: Path, target: Path | None = None) -> None:
    """Raise InputError if the bundle may not be changed, or its changed copy cannot be written.

    ds2 never changes a bundle that came with it.
    """
    if target is not None:
        check_place(target)
    elif is_shipped(path):
        raise InputError(f"{path}: comes with ds2 and stays as it is: name a changed copy with -o")
    elif not os.access(path, os.W_OK):
        raise InputError(f"{path}: may not be written to: name a changed copy with -o")


@contextmanager
def _changing(path: Path, target: Path | None) -> Iterator[Path]:
    """The directory to change: the bundle, or a copy that becomes `target` at the end."""
    check_writable(path, target)
    if target is None:
        with _naming(path):
            yield path
        return
    with _naming(target):
        place = target.resolve()  # a link stays one
        temporary = make_neighbour(place)
        rights = temporary.stat().st_mode
        try:
            shutil.copytree(path, temporary, dirs_exist_ok=True)
            temporary.chmod(rights)  # copying has set the rights of the original
            yield temporary
            put_in_place(temporary, place)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the system's errors of writing into InputError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path}: cannot be written: {reason}") from None


@contextmanager
def _as_binary(source: Path, model: NgramModel) -> Iterator[Path]:
    """The model's file in our form. For an ARPA file it is a temporary one."""
    if is_model(source):
        yield source
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / LM
        save_model(path, model.levels(), model.vocabulary, model.facts, Workspace())
        yield path


def _copy(source: Path, target: IO[bytes]) -> LmFacts:
    """Copy a model's file; returns the facts that identify it."""
    whole, header = hashlib.sha256(), hashlib.sha256()
    num_bytes = 0
    with source.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            if num_bytes == 0:
                header.update(block[:HEADER_BYTES])
            whole.update(block)
            target.write(block)
            num_bytes += len(block)
    return LmFacts(num_bytes, header.hexdigest(), whole.hexdigest())


def _write_names(path: Path, lm: LmFacts | None, decoding: BeamSettings | None) -> None:
    """Write into bundle.json which language model the bundle has."""
    write_facts(path, with_lm(read_facts(path), lm, decoding))
