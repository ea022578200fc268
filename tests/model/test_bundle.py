"""Bundles: reading gives what was written, and one line names each error."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aids.grams import FALLBACK, GENESIS, POEM, build, grams_in
from aids.models import write_random_bundle
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.model.bundle import FACTS, LM, Bundle, find_bundle, load_bundle, verify_lm, write_bundle
from ds2.model.bundle_lm import add_lm, change_decoding, remove_lm
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.model import NgramModel
from ds2.text.alphabet import english_bigrams, mandarin_characters

SETTINGS = BeamSettings(beam_width=30, lm_weight=1.25, unknown_word_score=None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_random_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture
def bundle(made: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(made.path, tmp_path / "bundle")
    return replace(made, path=tmp_path / "bundle")


@pytest.fixture(scope="module")
def lms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Language models: of English words, another, of Mandarin characters, an ARPA file."""
    paths = {}
    for name, text, order, options in (
        ("english", GENESIS, 2, {"language": "en"}),
        ("other", GENESIS, 1, {"language": "en"}),
        ("mandarin", POEM, 1, {"language": "zh", "unit": "character"}),
        ("letters", GENESIS, 1, {"unit": "character"}),
        ("german", GENESIS, 1, {"language": "zh"}),
    ):
        directory = tmp_path_factory.mktemp(name)
        arpa = directory / "lm.arpa"
        build(
            directory, text, EstimateConfig(order, discount_fallback=FALLBACK), arpa=arpa, **options
        )
        paths[name] = directory / "lm.bin"
        paths[f"{name} arpa"] = arpa
    return paths


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


def test_a_language_model_goes_in_and_out(bundle: Bundle, lms: dict[str, Path]) -> None:
    before = (bundle.path / FACTS).read_bytes()
    with_lm = add_lm(bundle.path, lms["english"], SETTINGS)
    assert with_lm == load_bundle(bundle.path)
    assert with_lm.decoding == SETTINGS
    assert with_lm.lm_path == bundle.path / LM
    assert with_lm.lm_path.read_bytes() == lms["english"].read_bytes()
    verify_lm(with_lm)
    assert remove_lm(bundle.path) == bundle
    assert (bundle.path / FACTS).read_bytes() == before
    assert not (bundle.path / LM).exists()


def test_a_language_model_is_exchanged_and_its_settings_are(
    bundle: Bundle, lms: dict[str, Path]
) -> None:
    add_lm(bundle.path, lms["english"], BeamSettings())
    exchanged = add_lm(bundle.path, lms["other"], BeamSettings())
    assert exchanged.lm_path
    assert exchanged.lm_path.read_bytes() == lms["other"].read_bytes()
    assert change_decoding(bundle.path, SETTINGS).decoding == SETTINGS
    assert add_lm(bundle.path, exchanged.lm_path, SETTINGS).lm == exchanged.lm  # its own file


def test_an_arpa_file_is_converted(bundle: Bundle, lms: dict[str, Path]) -> None:
    path = add_lm(bundle.path, lms["english arpa"], SETTINGS).lm_path
    assert path
    converted, source = grams_in(NgramModel.load(path)), grams_in(NgramModel.load(lms["english"]))
    assert converted.keys() == source.keys()


def test_a_bundle_without_a_language_model_reads_as_before(bundle: Bundle) -> None:
    assert (bundle.lm, bundle.lm_path, bundle.decoding) == (None, None, None)
    assert not {"lm", "decoding"} & set(json.loads((bundle.path / FACTS).read_text()))
    for action in (remove_lm, lambda path: change_decoding(path, SETTINGS)):
        with pytest.raises(InputError, match="bundle: holds no language model"):
            action(bundle.path)


@pytest.mark.parametrize("name", ["english", None], ids=["had one", "had none"])
def test_wherever_adding_is_cut_short_the_bundle_is_sound(
    bundle: Bundle, lms: dict[str, Path], name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name:
        add_lm(bundle.path, lms[name], SETTINGS)
    states = []
    for step in range(100):
        target = shutil.copytree(bundle.path, bundle.path.with_name(f"copy{step}"))
        try:
            with monkeypatch.context() as patch:
                _stop_at(patch, step)
                add_lm(target, lms["other"], SETTINGS)
            finished = True
        except PowerCut:
            finished = False
        found = load_bundle(target)
        verify_lm(found)
        assert (found.lm is None) == (found.decoding is None)
        states.append(found.lm and found.lm.num_bytes)
        if finished:
            break
    old = lms[name].stat().st_size if name else None
    assert states[0] == old
    assert states[-1] == lms["other"].stat().st_size
    assert set(states) <= {old, None, states[-1]}
    assert len(states) >= 4


class PowerCut(BaseException):
    pass


def _stop_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let the system's calls that change the disk fail, from the given one on."""
    count = iter(range(1000))

    def cut(call: object) -> object:
        def wrapped(*args: object, **options: object) -> object:
            if next(count) >= step:
                raise PowerCut
            return call(*args, **options)  # type: ignore[operator]

        return wrapped

    patch.setattr(os, "fsync", cut(os.fsync))
    patch.setattr(os, "replace", cut(os.replace))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mandarin",
            r"lm\.bin: is a model of characters, and words are needed: build it with --un",
        ),
        ("letters arpa", r"lm\.arpa: is a model of characters, and words are needed"),
        ("german", r"lm\.bin: is of language zh, and en is needed: build it with --language en"),
    ],
)
def test_a_language_model_that_does_not_fit_is_refused(
    bundle: Bundle, lms: dict[str, Path], name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        add_lm(bundle.path, lms[name], SETTINGS)
    assert load_bundle(bundle.path) == bundle


def test_a_damaged_language_model_is_refused_before_and_named_after(
    bundle: Bundle, lms: dict[str, Path], tmp_path: Path
) -> None:
    damaged = bytearray(lms["english"].read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.bin").write_bytes(damaged)
    with pytest.raises(InputError, match=r"damaged.bin: .*: is damaged: copy or build it again"):
        add_lm(bundle.path, tmp_path / "damaged.bin", SETTINGS)
    path = add_lm(bundle.path, lms["english"], SETTINGS).lm_path
    assert path
    path.write_bytes(damaged)
    found = load_bundle(bundle.path)  # which does not read it all
    with pytest.raises(InputError, match=r"lm.bin: damaged: it is not what bundle.json tells"):
        verify_lm(found)
    shutil.copy(lms["other"], path)
    with pytest.raises(InputError, match=r"lm.bin: is not the one that bundle.json tells of: add"):
        load_bundle(bundle.path)
    path.unlink()
    with pytest.raises(InputError, match=r"lm.bin: is missing: add it again with `ds2 bundle add"):
        load_bundle(bundle.path)
    assert add_lm(bundle.path, lms["english"], SETTINGS).decoding == SETTINGS  # as told
    path.unlink()
    assert remove_lm(bundle.path) == bundle


def test_what_cannot_be_written_is_named(bundle: Bundle, lms: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"nothing.bin: no such file"):
        add_lm(bundle.path, Path("nothing.bin"), SETTINGS)
    (bundle.path / LM).mkdir()
    with pytest.raises(InputError, match=r"bundle: cannot be written: is a directory"):
        add_lm(bundle.path, lms["english"], SETTINGS)
    assert load_bundle(bundle.path) == bundle


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_bundle_that_may_not_be_written_to_is_named(bundle: Bundle, lms: dict[str, Path]) -> None:
    bundle.path.chmod(0o555)
    with pytest.raises(InputError, match=r"bundle: may not be written to: name a changed copy"):
        add_lm(bundle.path, lms["english"], SETTINGS)
    bundle.path.chmod(0o755)


def test_settings_and_language_model_go_together(bundle: Bundle, lms: dict[str, Path]) -> None:
    add_lm(bundle.path, lms["english"], SETTINGS)
    facts = json.loads((bundle.path / FACTS).read_text())
    for changes, message in (
        ({"decoding": None}, r"bundle.json: decoding: field required"),
        ({"lm": None}, r"bundle.json: lm: field required"),
        ({"decoding": {"beam_widht": 10}}, r"bundle.json: decoding.beam_widht: unknown key"),
        ({"decoding": {"beam_width": 0}}, r"bundle.json: decoding.beam_width: must be at least 1"),
        ({"lm": {"num_bytes": 1}}, r"bundle.json: lm.header_sha256: field required"),
        (
            {"decoding": {"prior_weight": 0.3, "label_priors": [-1.0, -2.0]}},
            r"bundle.json: decoding.label_priors: 2 numbers for 29 labels: export it again",
        ),
        ({"decoding": {"prior_weight": 0.3}}, r"bundle.json: decoding.prior_weight: needs label"),
    ):
        change_facts(bundle, **{**facts, **changes})
        with pytest.raises(InputError, match=message):
            load_bundle(bundle.path)


def test_another_network_of_the_same_words_keeps_the_language_model(
    bundle: Bundle, lms: dict[str, Path]
) -> None:
    priors = {"prior_weight": 0.3, "label_priors": (-0.5, *28 * (-4.5,))}
    with_lm = add_lm(bundle.path, lms["english"], replace(SETTINGS, **priors))
    model = bundle.model_path.read_bytes()
    bundle.model_path.write_bytes(b"damaged")  # errors that a second write repairs
    assert write_bundle(bundle, model) == with_lm == load_bundle(bundle.path)
    bigrams = replace(bundle, alphabet=english_bigrams())
    assert write_bundle(bigrams, model).decoding == SETTINGS  # without the priors of characters
    verify_lm(load_bundle(bundle.path))


def test_a_network_of_another_language_leaves_the_file_and_no_more(
    bundle: Bundle, lms: dict[str, Path]
) -> None:
    add_lm(bundle.path, lms["english"], SETTINGS)
    mandarin = replace(bundle, alphabet=mandarin_characters(["你好"]))
    assert write_bundle(mandarin, b"graph").lm is None
    assert load_bundle(bundle.path).decoding is None
    assert (bundle.path / LM).read_bytes() == lms["english"].read_bytes()


def test_loading_a_bundle_compiles_nothing(bundle: Bundle, lms: dict[str, Path]) -> None:
    add_lm(bundle.path, lms["english"], SETTINGS)
    code = (
        "import sys; from ds2.model.bundle import load_bundle; "
        f"assert load_bundle({str(bundle.path)!r}).lm_path; assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
