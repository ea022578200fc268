"""`ds2 corpus align`: long recordings with texts that do not quite fit."""

from pathlib import Path

import numpy as np
import pytest

from ds2.audio import read_audio, write_wav
from ds2.cli import main
from ds2.corpora.long.align import read_aligned, units_of
from ds2.recognition.aligner import Aligner
from ds2.text.alphabet import english_characters, mandarin_characters

ROOT = Path(__file__).parents[2]
MODEL = str(ROOT / "models" / "en")
SAMPLES = ROOT / "samples"
TEXTS = [
    "could you please call me back tomorrow morning before nine",
    "the next train to the city leaves from platform four",
]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two samples, four times over, with a second of silence before each."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    silence = np.zeros(16_000, np.float32)
    pieces = [read_audio(SAMPLES / "en-1.ogg"), read_audio(SAMPLES / "en-2.ogg")] * 4
    write_wav(path, np.concatenate([part for piece in pieces for part in (silence, piece)]))
    return path


def starts_of(talk: Path) -> list[tuple[str, float]]:
    """The start of each word of the talk, by forced alignment of each sample separately."""
    aligner = Aligner.load(MODEL)
    starts, now_s = [], 0.0
    for index in range(8):
        now_s += 1.0
        sample = SAMPLES / f"en-{1 + index % 2}.ogg"
        found = aligner.align(sample, TEXTS[index % 2]).transcript
        starts += [(word.text, now_s + word.start_s) for word in found.words]
        now_s += len(read_audio(sample)) / 16_000
    assert now_s == pytest.approx(len(read_audio(talk)) / 16_000)
    return starts


@pytest.mark.slow
def test_words_of_a_long_recording_are_found_though_the_text_is_not_right(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = starts_of(talk)
    # The second sentence is missing, and after the fifth there is one that nobody said.
    sentences = [TEXTS[index % 2] for index in range(8)]
    given = [*sentences[:1], *sentences[2:5], "seven quick foxes jumped away", *sentences[5:]]
    text = tmp_path / "talk.txt"
    text.write_text("\n".join(given).upper() + ".\n")
    output = tmp_path / "aligned.jsonl"
    assert main(["corpus", "align", str(talk), str(text), "-m", MODEL, "-o", str(output)]) == 0
    assert "1 of 1 utterances" in capsys.readouterr().err
    (found,) = read_aligned(output)
    assert found.utterance.audio_path == talk
    assert found.duration_s == pytest.approx(len(read_audio(talk)) / 16_000, abs=1e-3)
    words = [word for word in found.words if not isinstance(word, str)]
    lost = [word for word in found.words if isinstance(word, str)]
    assert {"seven", "quick", "foxes", "jumped"} <= set(lost)
    expected = truth[:10] + truth[20:]
    times = {(text, round(start_s)) for text, start_s in expected}
    near = [w for w in words if {(w.text, round(w.start_s + d)) for d in (-0.3, 0, 0.3)} & times]
    assert len(near) >= 0.9 * len(expected)
    second = (1.0 + truth[9][1], truth[20][1])  # the place of the sentence that the text lacks
    assert any(second[0] < item.start_s < item.end_s < second[1] + 1 for item in found.extra)


def test_a_manifest_is_aligned_line_by_line(tmp_path: Path) -> None:
    output = tmp_path / "aligned.jsonl"
    manifest = str(SAMPLES / "manifest-en.jsonl")
    assert main(["corpus", "align", manifest, "-m", MODEL, "-o", str(output), "--jobs", "2"]) == 0
    found = read_aligned(output)
    assert [item.utterance.audio_path.name for item in found] == ["en-1.ogg", "en-2.ogg"]
    for item, text in zip(found, TEXTS, strict=True):
        assert " ".join(w if isinstance(w, str) else w.text for w in item.words) == text


def test_units_hold_the_space_after_a_word() -> None:
    english = english_characters()
    assert [english.decode(unit) for unit in units_of(["ab", "c", "de"], english)] == [
        "ab ",
        "c ",
        "de",
    ]
    assert [english.decode(unit) for unit in units_of(["ab", "é", "de"], english)] == [
        "ab ",
        "",
        "de",
    ]
    chinese = mandarin_characters(["你好"])
    assert [chinese.decode(unit) for unit in units_of(["你", "ok", "好"], chinese)] == [
        "你",
        "ok",
        "好",
    ]


def test_what_another_run_left_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    part = tmp_path / "out.jsonl.part"
    part.write_text('{"key": "another"}\n{"words": []}\n')
    manifest = str(SAMPLES / "manifest-en.jsonl")
    assert main(["corpus", "align", manifest, "-m", MODEL, "-o", str(output)]) == 2
    assert "an interrupted run with other input or settings left it" in capsys.readouterr().err
    assert part.exists()
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{talk}", "{empty}"], "empty.txt: holds no text"),
        (["{talk}", "{gone}"], "gone.txt: no such file"),
        (["{gone}", "{text}"], "gone.txt: no such file or directory"),
        (["{text}", "{text}"], "text.txt: not a recording that ds2 can read"),
        (["{talk}", "{chinese}"], "has no text to align"),
        (["{talk}", "{text}", "--beam", "0"], "--beam: must be above 0, not 0"),
        (["{talk}", "{text}", "--extra-speech", "nan"], "--extra-speech: must be above 0, not nan"),
        (["{talk}", "{text}", "--workers", "2"], "--workers: works with --ray only"),
        (["{talk}", "{text}", "-o", "{text}/out.jsonl"], "text.txt: cannot be a directory"),
    ],
)
def test_bad_input_is_told_in_one_line(
    talk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "text.txt").write_text("call me back\n")
    (tmp_path / "chinese.txt").write_text("你好\n")
    names = {name: str(tmp_path / f"{name}.txt") for name in ("empty", "text", "chinese", "gone")}
    output = tmp_path / "out.jsonl"
    filled = [argument.format(talk=talk, **names) for argument in arguments]
    assert main(["corpus", "align", "-m", MODEL, "-o", str(output), *filled]) == 2
    error = capsys.readouterr().err
    assert message in error
    told = [line for line in error.splitlines() if line.startswith("ds2: ")]
    assert len(told) == 1
    assert not output.exists()
