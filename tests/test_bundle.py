"""Bundles: what is written is read back, and whatever is wrong is named in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ds2.bundle import FACTS, Bundle, find_bundle, load_bundle, write_bundle
from ds2.errors import InputError
from models import write_random_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_random_bundle(tmp_path)


def change_facts(bundle: Bundle, **changes: object) -> None:
    path = bundle.path / FACTS
    facts = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: v for key, v in facts.items() if v is not None}))


def test_saving_and_loading_is_identity(bundle: Bundle) -> None:
    assert load_bundle(bundle.path) == bundle


def test_latency_is_the_window_and_the_right_context(bundle: Bundle) -> None:
    # 5 frames of the first convolution, 2 * 3 of the second, 3 * 3 of lookahead, 20 ms of window.
    assert bundle.latency_s == pytest.approx(0.010 * (5 + 6 + 9) + 0.020)
    assert bundle.output_stride_s == pytest.approx(0.030)


def test_writing_again_replaces_the_model_and_keeps_other_files(bundle: Bundle) -> None:
    (bundle.path / "README.md").write_text("a model card")
    (bundle.path / "figures").mkdir()
    (bundle.path / "figures" / "curve.txt").write_text("a figure")
    write_bundle(bundle, bundle.model_path.read_bytes())
    assert load_bundle(bundle.path) == bundle
    assert (bundle.path / "README.md").read_text() == "a model card"
    assert (bundle.path / "figures" / "curve.txt").read_text() == "a figure"
    assert not list(bundle.path.parent.glob(".*"))


def test_writing_through_a_link_leaves_the_link(bundle: Bundle, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(bundle.path)
    linked = replace(bundle, path=link)
    write_bundle(linked, bundle.model_path.read_bytes())
    assert link.is_symlink()
    assert load_bundle(link) == linked


def test_a_failed_write_leaves_the_old_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(json, "dump", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_bundle(bundle, b"another model")
    assert load_bundle(bundle.path) == bundle
    assert not list(bundle.path.parent.glob(".*"))


def test_a_directory_of_other_things_is_not_overwritten(bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "holiday"
    target.mkdir()
    (target / "photo.jpg").touch()
    with pytest.raises(InputError, match="exists and is no bundle: name another directory"):
        write_bundle(replace(bundle, path=target), b"")


def test_a_bundle_cannot_be_where_a_file_is(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file: name a directory for the bundle"):
        write_bundle(replace(bundle, path=tmp_path / "file"), b"")
    with pytest.raises(InputError, match=r"inner: cannot be made: (file exists|not a directory)"):
        write_bundle(replace(bundle, path=tmp_path / "file" / "inner"), b"")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "format version 99; this ds2 reads 1"),
        ({"format_version": None}, "format_version is missing: export it again"),
        ({"alphabet": None}, "alphabet is missing: export it again"),
        ({"alphabet": {"kind": "runes"}}, "alphabet: language is missing"),
        ({"model": {"time_stride": 0}}, r"bundle.json: model.streaming: "),
        ({"features": {"window_ms": "long"}}, r"bundle.json: features.window_ms: "),
        ({"features": {"windw_ms": 20}}, r"bundle.json: features.windw_ms: unknown key"),
        ({"features": {"normalisation": "clip"}}, r"features.normalisation: a streaming model"),
        ({"training": ["much"]}, r"bundle.json: training: must hold names and values"),
        ({"sha256": {}}, r"sha256.model.onnx is missing: export it again"),
        ({"sha256": {"model.onnx": "0"}}, r"model.onnx: damaged: it is not what bundle.json"),
    ],
    ids=str,
)
def test_wrong_facts_are_named(bundle: Bundle, changes: dict, message: str) -> None:
    change_facts(bundle, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_bundle(bundle.path)
    assert "\n" not in str(caught.value)


def test_a_bundle_that_is_not_whole_is_named(bundle: Bundle, tmp_path: Path) -> None:
    bundle.model_path.unlink()
    with pytest.raises(InputError, match=r"model\.onnx: is missing: export it again"):
        load_bundle(bundle.path)
    (bundle.path / FACTS).write_text("{")
    with pytest.raises(InputError, match=r"bundle\.json: cannot be read: Expecting property"):
        load_bundle(bundle.path)
    (bundle.path / FACTS).unlink()
    with pytest.raises(InputError, match=r"is no bundle: it holds no bundle\.json"):
        load_bundle(bundle.path)
    with pytest.raises(InputError, match="no such directory: a model is a bundle"):
        load_bundle(tmp_path / "nowhere")


def test_a_bare_name_is_looked_for_among_the_models(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS2_MODELS", str(tmp_path))
    assert find_bundle("bundle") == bundle.path
    assert find_bundle(bundle.path) == bundle.path
    with pytest.raises(InputError, match=r"klingon: no such directory, and no bundle of that name"):
        find_bundle("klingon")
