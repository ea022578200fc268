"""Transcripts in the formats of players and scoring programs."""

import json

import pytest

from ds2.errors import InputError
from ds2.transcripts.channels import merged
from ds2.transcripts.transcript import (
    LineShape,
    Transcript,
    Word,
    to_ctm,
    to_json,
    to_srt,
    to_tsv,
    to_txt,
    to_vtt,
)

PLAIN = LineShape()


def spoken(*words: tuple[str, float, float], language: str = "en") -> Transcript:
    made = tuple(Word(text, start, end, 0.9) for text, start, end in words)
    return Transcript(made, 4000.0, language)


TWO = spoken(("we", 0.5, 0.61), ("met", 0.7, 1.0), ("again", 3.0, 3.456))


def test_a_pause_makes_a_new_line() -> None:
    assert to_txt(TWO, PLAIN) == "we met\nagain\n"


def test_srt_by_hand() -> None:
    assert to_srt(TWO, PLAIN) == (
        "1\n00:00:00,500 --> 00:00:01,000\nwe met\n\n2\n00:00:03,000 --> 00:00:03,456\nagain\n\n"
    )


def test_vtt_by_hand() -> None:
    assert to_vtt(TWO, PLAIN).startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.000\nwe met\n\n")


def test_tsv_is_in_milliseconds() -> None:
    assert to_tsv(TWO, PLAIN) == "start\tend\ttext\n500\t1000\twe met\n3000\t3456\tagain\n"


def test_ctm_has_a_line_for_each_word() -> None:
    assert to_ctm(TWO, "my file").splitlines()[0] == "my_file 1 0.500 0.110 we 0.9000"


def test_json_holds_everything() -> None:
    data = json.loads(to_json(TWO, PLAIN))
    assert data["text"] == "we met again"
    assert [segment["text"] for segment in data["segments"]] == ["we met", "again"]
    assert data["segments"][1]["words"] == [
        {"word": "again", "start": 3.0, "end": 3.456, "confidence": 0.9}
    ]


def test_hours_are_counted() -> None:
    assert "01:01:01,250 --> " in to_srt(spoken(("late", 3661.25, 3662)), PLAIN)


def test_mandarin_has_no_spaces_but_between_latin_words() -> None:
    words = [("我", 0, 1), ("用", 1, 2), ("python", 2, 3), ("three", 3, 4), ("写", 4, 5)]
    assert spoken(*words, language="zh").text == "我用python three写"


def test_lines_are_no_wider_than_asked() -> None:
    words = [(word, i / 10, i / 10 + 0.1) for i, word in enumerate(["one", "two", "three", "four"])]
    text = to_srt(spoken(*words), LineShape(max_line_width=8))
    assert text == "1\n00:00:00,000 --> 00:00:00,400\none two\nthree\nfour\n\n"


def test_a_full_subtitle_makes_room_for_the_next() -> None:
    words = [(word, i / 10, i / 10 + 0.1) for i, word in enumerate(["one", "two", "three", "four"])]
    text = to_srt(spoken(*words), LineShape(max_line_width=8, max_line_count=2))
    assert "one two\nthree\n\n2\n00:00:00,300 --> 00:00:00,400\nfour\n" in text
    text = to_srt(spoken(*words), LineShape(max_words_per_line=3))
    assert "one two three\n\n2\n00:00:00,300 --> 00:00:00,400\nfour\n" in text


def test_the_word_being_said_is_underlined() -> None:
    text = to_vtt(spoken(("we", 0.5, 0.6), ("met", 0.7, 1.0)), LineShape(highlight_words=True))
    assert text.split("\n\n")[1:4] == [
        "00:00:00.500 --> 00:00:00.600\n<u>we</u> met",
        "00:00:00.600 --> 00:00:00.700\nwe met",
        "00:00:00.700 --> 00:00:01.000\nwe <u>met</u>",
    ]


def test_an_arrow_in_the_text_does_not_break_subtitles() -> None:
    assert "a -> b" in to_srt(spoken(("a --> b", 0, 1)), PLAIN)


def test_silence_is_an_empty_file_of_each_form() -> None:
    silent = spoken()
    assert (silent.text, to_txt(silent, PLAIN), to_srt(silent, PLAIN)) == ("", "", "")
    assert to_vtt(silent, PLAIN) == "WEBVTT\n\n"
    assert json.loads(to_json(silent, PLAIN))["segments"] == []


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="max_line_width: must be at least 1, not 0"):
        LineShape(max_line_width=0)
    with pytest.raises(InputError, match="max_line_count: needs max_line_width"):
        LineShape(max_line_count=2)


def call() -> Transcript:
    first = spoken(("hello", 0.5, 1.0), ("how", 1.1, 1.2), ("fine", 5.0, 5.5))
    second = spoken(("good", 2.0, 2.25), ("morning", 2.3, 3.0))
    return merged([first, second])


def test_channels_are_merged_by_time() -> None:
    assert call().text == "hello how good morning fine"
    told = [(segment.speaker, segment.text) for segment in call().segments()]
    assert told == [
        ("Speaker 1", "hello how"),
        ("Speaker 2", "good morning"),
        ("Speaker 1", "fine"),
    ]
    assert merged([spoken(), spoken()]).segments() == []


def test_what_is_said_at_a_stretch_stays_together() -> None:
    long = spoken(("one", 0.0, 1.0), ("two", 1.5, 2.0), ("three", 2.5, 3.0))
    assert merged([long, spoken(("yes", 1.1, 1.3))]).text == "one two three yes"


def test_each_form_names_the_speaker() -> None:
    assert to_txt(call(), PLAIN) == (
        "Speaker 1: hello how\nSpeaker 2: good morning\nSpeaker 1: fine\n"
    )
    assert to_srt(call(), PLAIN).splitlines()[:3] == [
        "1",
        "00:00:00,500 --> 00:00:01,200",
        "Speaker 1: hello how",
    ]
    assert "00:00:02.000 --> 00:00:03.000\n<v Speaker 2>good morning\n" in to_vtt(call(), PLAIN)
    assert to_tsv(call(), PLAIN).splitlines()[:2] == [
        "start\tend\ttext\tspeaker",
        "500\t1200\thello how\tSpeaker 1",
    ]
    fields = json.loads(to_json(call(), PLAIN))
    assert [(each["speaker"], each["channel"]) for each in fields["segments"]] == [
        ("Speaker 1", 1),
        ("Speaker 2", 2),
        ("Speaker 1", 1),
    ]
    assert fields["channels"] == [
        {"channel": 1, "text": "hello how fine"},
        {"channel": 2, "text": "good morning"},
    ]
    channels = [line.split()[1] for line in to_ctm(call(), "call").splitlines()]
    assert channels == ["1", "1", "1", "2", "2"]  # scoring programs need a channel's words together


def test_each_subtitle_begins_with_the_speaker_and_no_line_grows_too_wide() -> None:
    shape = LineShape(max_line_width=20, max_line_count=1)
    cues = to_srt(merged([spoken(("hello", 0, 1), ("everybody", 1, 2), ("here", 2, 3))]), shape)
    lines = [block.split("\n")[2] for block in cues.strip().split("\n\n")]
    assert lines == ["Speaker 1: hello", "Speaker 1: everybody", "Speaker 1: here"]


def test_without_channels_nothing_names_a_speaker() -> None:
    for write in (to_txt, to_srt, to_vtt, to_tsv, to_json):
        assert "peaker" not in write(TWO, PLAIN)
