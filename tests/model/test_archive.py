"""Install models from archives: a good one completely, a bad one not at all."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aids.models import READY, TINY
from ds2.errors import InputError
from ds2.model import archive as archive_module
from ds2.model.archive import install_archive
from ds2.model.bundle import find_bundle, load_bundle

SOURCE = READY["en", TINY]
FILES = {path.name: path.read_bytes() for path in SOURCE.iterdir()}


def tarred(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in others:
            tar.addfile(member)
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def below(directory: str) -> dict[str, bytes]:
    return {f"{directory}/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda d: tarred(d / "a.tar.gz", below("big-en")), "big-en"),
        (lambda d: tarred(d / "big-en.tar.xz", FILES), "big-en"),
        (lambda d: zipped(d / "a.zip", below("big-en")), "big-en"),
        (lambda d: zipped(d / "big-en.zip", below(".")), "big-en"),
    ],
    ids=["tar", "flat-tar", "zip", "flat-zip"],
)
def test_an_archive_becomes_a_bundle_that_a_name_finds(
    made: Callable[[Path], Path],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = tmp_path / "models"
    bundle = install_archive(made(tmp_path), models)
    assert bundle.path == models / name
    assert bundle.alphabet == load_bundle(SOURCE).alphabet
    assert {path.name for path in bundle.path.iterdir()} == set(FILES)
    assert [path.name for path in models.iterdir()] == [name]
    monkeypatch.setenv("DS2_MODELS", str(models))
    assert find_bundle(name) == bundle.path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda p: tarred(p, {**FILES, "/etc/evil": b"x"}), "could land elsewhere"),
        (lambda p: tarred(p, {**FILES, "../evil": b"x"}), "could land elsewhere"),
        (lambda p: tarred(p, {**FILES, "a/../../evil": b"x"}), "could land elsewhere"),
        (lambda p: tarred(p, {**FILES, "..\\evil": b"x"}), "could land elsewhere"),
        (lambda p: tarred(p, {**FILES, "C:evil": b"x"}), "could land elsewhere"),
        (lambda p: zipped(p, {**FILES, "../evil": b"x"}), "could land elsewhere"),
        (lambda p: tarred(p, FILES, link("lm.bin", "/etc/passwd", tarfile.SYMTYPE)), "plain file"),
        (lambda p: tarred(p, FILES, link("lm.bin", "model.onnx", tarfile.LNKTYPE)), "plain file"),
        (lambda p: tarred(p, FILES, link("pipe", "", tarfile.FIFOTYPE)), "plain file"),
        (lambda p: tarred(p, {**below("a"), **below("b")}), "must hold one bundle"),
        (lambda p: tarred(p, {"model.onnx": b"x"}), "must hold one bundle"),
        (lambda p: tarred(p, below("a/b")), "must hold one bundle"),
        (lambda p: tarred(p, {**below("a"), "b/evil": b"x"}), "no part of a bundle"),
        (lambda p: tarred(p, {**FILES, "model.onnx": b"x"}), "model.onnx: damaged"),
        (lambda p: tarred(p, {**FILES, "bundle.json": b"{"}), "bundle.json: cannot be read"),
        (lambda p: tarred(p, {**FILES, **{f"{n}": b"" for n in range(200)}}), "202 files"),
        (lambda p: p.write_bytes(b"no archive") and p, "is no tar or zip archive"),
        (lambda p: p.write_bytes(tarred(p, FILES).read_bytes()[:9000]) and p, "or damaged"),
        (lambda p: p, "no such file"),
    ],
)
def test_what_is_not_a_sound_bundle_leaves_nothing(
    made: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    archive = made(tmp_path / "a.tar.gz")
    with pytest.raises(InputError, match=message) as caught:
        install_archive(archive, tmp_path / "models")
    assert str(caught.value).startswith(str(archive))
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "models").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"a.tar.gz", "models"}


@pytest.mark.parametrize("make", [tarred, zipped])
def test_endless_zeros_are_not_unpacked(
    make: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MOST_BYTES", 1_000_000)
    archive = make(tmp_path / "a.tar.gz", {**FILES, "lm.bin": bytes(2_000_000)})
    assert archive.stat().st_size < 1_000_000
    with pytest.raises(InputError, match="unpacks to more than"):
        install_archive(archive, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_name_that_is_taken_is_refused_and_another_may_be_given(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "big.tar.gz", FILES)
    first = install_archive(archive, tmp_path / "models")
    with pytest.raises(InputError, match="is there already"):
        install_archive(archive, tmp_path / "models")
    second = install_archive(archive, tmp_path / "models", "other")
    assert {first.path.name, second.path.name} == {"big", "other"}
    for name in ("../up", ".hidden", "a b"):
        with pytest.raises(InputError, match="cannot be a model's name"):
            install_archive(archive, tmp_path / "models", name)
    shutil.rmtree(second.path)
    assert install_archive(archive, tmp_path / "models", "other").path == second.path
