"""Cut aligned recordings: the places of cuts, the parts, and the parts left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.audio import read_audio, write_wav
from ds2.cli import main
from ds2.corpora.long.align import AlignedRecording, ExtraSpeech, SpokenWord
from ds2.corpora.long.segment import CutRules, segment
from ds2.manifest import Utterance, read_manifest

RECORDING = Utterance(Path("/talk.wav"), speaker="ann", extra={"source": "radio"})


def said(text: str, start_s: float, end_s: float) -> SpokenWord:
    return SpokenWord(text, start_s, end_s, 0.5, -1.0)


def recording(
    words: list[SpokenWord | str],
    duration_s: float,
    extra: list[tuple[float, float, int]] | None = None,
    language: str = "en",
) -> AlignedRecording:
    stretches = tuple(ExtraSpeech(*item) for item in extra or [])
    return AlignedRecording(RECORDING, duration_s, language, tuple(words), stretches)


def spans(found: tuple[Utterance, ...]) -> list[tuple[str | None, float, float]]:
    return [(u.text, u.offset_s, round(u.offset_s + (u.duration_s or 0), 3)) for u in found]


def test_a_cut_falls_into_the_pause_between_two_words() -> None:
    words = [said("one", 0.5, 1.5), said("two", 1.6, 2.5), said("three", 4.5, 6.0)]
    found = segment(recording(words, 7.0), CutRules())
    assert spans(found.utterances) == [("one two", 0.25, 2.8), ("three", 4.2, 6.3)]
    assert (found.num_words, found.num_missing, found.num_left) == (3, 0, 0)


def test_what_is_known_of_the_recording_stays_known() -> None:
    words: list[SpokenWord | str] = [said("one", 0.5, 1.5), said("two", 1.6, 2.5)]
    source = replace(RECORDING, offset_s=100.0)
    (utterance,) = segment(replace(recording(words, 3.0), utterance=source), CutRules()).utterances
    assert (utterance.audio_path, utterance.speaker, utterance.language) == (
        RECORDING.audio_path,
        "ann",
        "en",
    )
    assert utterance.offset_s == 100.25
    assert utterance.extra == {"source": "radio", "ctc_cost": 2.0, "confidence": 0.5}


def test_speech_that_the_text_lacks_is_in_no_utterance() -> None:
    words = [said("one", 0.5, 1.5), said("two", 3.0, 4.5)]
    found = segment(recording(words, 5.0, [(1.6, 2.9, 9)]), CutRules())
    assert spans(found.utterances) == [("one", 0.25, 1.6), ("two", 2.9, 4.75)]


def test_a_frame_or_two_that_the_model_reads_in_a_pause_are_no_speech() -> None:
    words = [said("one", 0.5, 1.5), said("two", 1.7, 3.0)]
    found = segment(recording(words, 5.0, [(1.55, 1.65, 2)]), CutRules())
    assert [text for text, _, _ in spans(found.utterances)] == ["one two"]


def test_words_that_were_not_said_are_not_in_the_text() -> None:
    found = segment(
        recording([said("one", 0.5, 1.5), "two", said("three", 1.6, 3.0)], 5), CutRules()
    )
    assert [text for text, _, _ in spans(found.utterances)] == ["one three"]
    assert found.num_missing == 1


def test_speech_without_a_pause_that_is_too_long_is_left_out() -> None:
    words = [said("a", t, t + 0.9) for t in range(30)]
    words += [said("one", 31.0, 32.0), said("two", 32.1, 33.0)]
    found = segment(recording(words, 40.0), CutRules())
    assert [text for text, _, _ in spans(found.utterances)] == ["one two"]
    assert found.num_left == 30


def test_mandarin_has_no_spaces_but_between_latin_words() -> None:
    words = [said(word, t, t + 0.5) for t, word in enumerate(["我", "爱", "new", "york", "市"])]
    (utterance,) = segment(recording(words, 6.0, language="zh"), CutRules(pause_s=2.0)).utterances
    assert utterance.text == "我爱new york市"


def test_nothing_said_gives_nothing() -> None:
    found = segment(recording(["one", "two"], 10.0), CutRules())
    assert (found.utterances, found.num_missing) == ((), 2)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.05, 2)), min_size=1, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
    st.floats(0.5, 3),
    st.floats(4, 20),
)
def test_utterances_keep_to_the_rules(
    gaps: list[tuple[float, float]], has_extra: list[bool], shortest_s: float, longest_s: float
) -> None:
    words, extra, now_s = [], [], 0.0
    for index, (gap_s, length_s) in enumerate(gaps):
        if has_extra[index] and gap_s > 0.2:
            extra.append((now_s + 0.05, now_s + gap_s - 0.05, 10))
        now_s += gap_s
        words.append(said(f"w{index}", round(now_s, 3), round(now_s + length_s, 3)))
        now_s += length_s
    rules = CutRules(shortest_s, longest_s)
    found = segment(recording(list(words), now_s + 1, extra), rules)
    read = [word for utterance in found.utterances for word in (utterance.text or "").split()]
    assert len(read) == len(set(read)) == found.num_words
    assert found.num_words + found.num_left == len(words)
    end_s = 0.0
    for utterance in found.utterances:
        duration_s = utterance.duration_s or 0.0
        assert shortest_s - 0.002 <= duration_s <= longest_s + 0.002
        assert utterance.offset_s >= end_s - 0.002  # one after another
        end_s = utterance.offset_s + duration_s
        inside = [w for w in words if w.text in (utterance.text or "").split()]
        assert utterance.offset_s - 0.002 <= inside[0].start_s
        assert inside[-1].end_s <= end_s + 0.002
        for start_s, stop_s, _ in extra:
            assert stop_s <= utterance.offset_s + 0.002 or start_s >= end_s - 0.002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shortest_s": 0.0}, "shortest_s: must be above 0"),
        ({"shortest_s": 30.0}, "shortest_s: must be above 0 and below longest_s"),
        ({"pause_s": -1.0}, "pause_s: must be 0 or more"),
        ({"margin_s": float("nan")}, "margin_s: must be 0 or more"),
        ({"extra_labels": 0}, "extra_labels: must be at least 1"),
    ],
)
def test_rules_that_make_no_sense_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CutRules(**arguments)  # type: ignore[arg-type]


LINE = (
    '{"audio_filepath": "talk.wav", "duration": 4.0, "language": "en", "extra": [], "words": '
    '[{"word": "one", "start": 0.5, "end": 1.5, "confidence": 0.9, "log_prob": -1.0}, '
    '{"word": "lost"}, {"word": "two", "start": 1.6, "end": 2.5, "confidence": 0.9, '
    '"log_prob": -1.0}]}\n'
)


def test_the_command_writes_a_manifest_and_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waveform = np.sin(np.arange(64_000, dtype=np.float32) / 9) * np.float32(0.5)
    write_wav(tmp_path / "talk.wav", waveform)
    (tmp_path / "aligned.jsonl").write_text(LINE)
    output = tmp_path / "cut.jsonl"
    clips = tmp_path / "clips"
    command = ["corpus", "segment", str(tmp_path / "aligned.jsonl"), "-o", str(output)]
    assert main([*command, "--audio", str(clips)]) == 0
    assert "1 utterances" in capsys.readouterr().out
    (utterance,) = read_manifest(output)
    assert utterance.text == "one two"
    assert utterance.audio_path.parent == clips
    clip = read_audio(utterance.audio_path)
    assert np.allclose(clip, waveform[4000 : 4000 + len(clip)], atol=1e-4)
    assert main(command) == 0
    (utterance,) = read_manifest(output)
    assert (utterance.audio_path, utterance.offset_s) == (tmp_path / "talk.wav", 0.25)


@pytest.mark.parametrize(
    ("line", "arguments", "message"),
    [
        ("", [], "holds no recordings: make it with ds2 corpus align"),
        ('{"audio_filepath": "a.wav"}', [], "aligned.jsonl:1: is not an aligned recording"),
        ("nonsense", [], "aligned.jsonl:1: is not JSON"),
        (LINE, ["--shortest", "9", "--longest", "5"], "--shortest: must be above 0 and below"),
        (LINE, ["--shortest", "5"], "ds2 cannot cut an utterance from it"),
    ],
)
def test_bad_input_is_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    arguments: list[str],
    message: str,
) -> None:
    path = tmp_path / "aligned.jsonl"
    path.write_text(line)
    output = tmp_path / "cut.jsonl"
    assert main(["corpus", "segment", str(path), "-o", str(output), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()
