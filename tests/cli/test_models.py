"""`ds2 models` lists and installs models; models that come with ds2 do not change."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from aids.models import READY, TINY
from ds2.cli import main
from ds2.model.bundle import find_bundle, load_bundle
from ds2.model.places import shipped_directory

SOURCE = READY["en", TINY]
SHIPPED = Path(__file__).parents[2] / "models"


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the user's data into a directory of the test, on every system."""
    home = tmp_path / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DS2_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "small-en.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(SOURCE, "small-en")
    return path


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_the_models_that_come_with_ds2_are_listed_from_any_directory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = listed(capsys)
    assert {name: row["language"] for name, row in rows.items()} == {"en": "en", "zh": "zh"}
    assert rows["en"]["measure"] == "wer"
    assert rows["zh"]["measure"] == "cer"
    assert 0 < rows["zh"]["greedy_dev_error"] < 1
    assert main(["models"]) == 0
    table = capsys.readouterr().out
    assert str(shipped_directory() / "zh") in table
    assert "% CER" in table


def test_a_model_is_installed_found_and_listed(
    archive: Path, data_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert main(["models", "get", str(archive), "--sha256", digest.upper()]) == 0
    assert "use it with -m small-en" in capsys.readouterr().out
    path = find_bundle("small-en")
    assert path.is_relative_to(data_home)
    assert listed(capsys)["small-en"]["path"] == str(path)
    assert main(["models", "get", str(archive), "--name", "en"]) == 0
    assert find_bundle("en").is_relative_to(data_home)  # it comes before the shipped one


def test_another_file_than_the_one_meant_is_refused(
    archive: Path, data_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "get", str(archive), "--sha256", "0" * 64]) == 2
    assert "is not the file of --sha256: its SHA-256 is" in capsys.readouterr().err
    assert main(["models", "get", "http://127.0.0.1:1/a.zip"]) == 2
    assert "give --sha256" in capsys.readouterr().err
    assert main(["models", "get", "ftp://127.0.0.1/a.zip"]) == 2
    assert "https://" in capsys.readouterr().err
    assert not data_home.exists()


def test_a_model_that_is_damaged_is_named_and_the_others_are_listed(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "get", str(archive)]) == 0
    (find_bundle("small-en") / "model.onnx").write_bytes(b"")
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    output = capsys.readouterr()
    assert {row["name"] for row in json.loads(output.out)} == {"en", "zh"}
    assert "small-en/model.onnx: damaged" in output.err


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_model_that_comes_with_ds2_is_changed_in_a_copy_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(SHIPPED / "en")
    lm = str(SHIPPED / "en" / "lm.bin")
    dev = str(SHIPPED.parent / "samples" / "manifest-en.jsonl")
    for command in (
        ["bundle", "add-lm", "en", lm, "--alpha", "1"],
        ["bundle", "remove-lm", str(SHIPPED / "en")],
        ["lm", "tune", dev, "-m", "en"],
    ):
        assert main(command) == 2
        assert "comes with ds2 and stays as it is: name a changed copy with -o" in (
            capsys.readouterr().err
        )
    assert main(["bundle", "add-lm", "en", lm, "--alpha", "1", "-o", "copy"]) == 0
    assert "copy: language model: " in capsys.readouterr().out
    copy = load_bundle(tmp_path / "copy")
    assert copy.decoding
    assert copy.decoding.lm_weight == 1
    assert main(["bundle", "remove-lm", "copy", "-o", "plain"]) == 0
    assert load_bundle(tmp_path / "plain").lm is None
    assert load_bundle(tmp_path / "copy") == copy
    assert contents(SHIPPED / "en") == before
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "plain"}


def test_a_directory_of_a_model_s_name_does_not_hide_the_model(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    assert find_bundle("en") == shipped_directory() / "en"
    shutil.copytree(SOURCE, tmp_path / "zh")
    assert find_bundle("zh") == Path("zh")
