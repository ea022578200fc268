"""Manifests: every format gives the same utterances, and errors are named with their line."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.manifest import Utterance, read_manifest, write_manifest

DATA = Path(__file__).parents[3] / "shared" / "data"

LINE = {"audio_filepath": "a.wav", "duration": 1.5, "text": "hello"}


def written(path: Path, *lines: object) -> Path:
    """Write a file of these lines, in JSON unless they are strings; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    return path


def problem_with(path: Path) -> str:
    """The error of `read_manifest`, with paths relative to the manifest's directory."""
    with pytest.raises(InputError) as error:
        read_manifest(path)
    return str(error.value).replace(f"{path.parent}/", "")


# JSON lines


def test_a_line_is_an_utterance(tmp_path: Path) -> None:
    path = written(
        tmp_path / "m.jsonl",
        {**LINE, "offset": 2, "speaker": 7, "language": "en", "source": {"x": [1]}},
    )
    (utterance,) = read_manifest(path)
    assert utterance == Utterance(
        tmp_path / "a.wav",
        duration_s=1.5,
        text="hello",
        offset_s=2.0,
        speaker="7",
        language="en",
        extra={"source": {"x": [1]}},
    )
    assert utterance.where == f"{path}:1"
    assert utterance.id == "a+2"


def test_only_the_recording_must_be_given(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", {"audio_filepath": "/x/a.b.wav", "text": None})
    assert read_manifest(path) == [Utterance(Path("/x/a.b.wav"))]
    assert read_manifest(path)[0].id == "a.b"


def test_a_name_in_the_manifest_is_the_utterances_name(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "id": "talk-1"})
    assert read_manifest(path)[0].id == "talk-1"


def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    line = json.dumps(LINE)
    path = tmp_path / "m.jsonl"
    path.write_bytes(f"\ufeff\r\n{line}\r\n\n  \n{line}".encode())
    assert [utterance.line for utterance in read_manifest(path)] == [2, 5]


def test_line_separators_inside_a_text_end_no_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({**LINE, "text": "a\u2028b\x85c"}, ensure_ascii=False), "utf-8")
    assert read_manifest(path)[0].text == "a\u2028b\x85c"


def test_a_directory_stands_for_the_manifest_in_it(tmp_path: Path) -> None:
    path = written(tmp_path / "manifest.jsonl", LINE)
    assert read_manifest(tmp_path) == read_manifest(path)


def test_a_gz_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(LINE).encode()))
    assert read_manifest(path)[0].text == "hello"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'a': 1}", "is not JSON: expecting property name enclosed in double quotes at column 2"),
        ("[", "is not JSON: expecting value at column 2 (each line must be one object)"),
        ('{"text": "a"} x', "is not JSON: extra data at column 15"),
        ("3", 'is not a JSON object such as {"audio_filepath": "a.wav"}'),
        ({"text": "a", "dur": 1}, "audio_filepath is missing (there is text, dur)"),
        ({"audio_filepath": ""}, "audio_filepath is empty"),
        ({"audio_filepath": 3}, "audio_filepath: 3: it must be a string"),
        ({"audio_filepath": "a\0.wav"}, "the recording's name has a null character"),
        ({**LINE, "text": 42}, "text: 42: it must be a string"),
        ({**LINE, "text": ["a"]}, "text: ['a']: it must be a string"),
        ({**LINE, "speaker": True}, "speaker: True: it must be a string"),
        ({**LINE, "duration": "1.5"}, 'duration: "1.5": it must be a number'),
        ({**LINE, "duration": True}, "duration: True: it must be a number"),
        ({**LINE, "duration": -1}, "duration: -1: it must be 0 or more, in seconds"),
        ({**LINE, "duration": 0}, "duration: 0: it must be above 0, in seconds"),
        ({**LINE, "duration": float("nan")}, "duration: nan: it must be a number of seconds"),
        ({**LINE, "duration": float("inf")}, "duration: inf: it must be a number of seconds"),
        ({**LINE, "offset": -0.5}, "offset: -0.5: it must be 0 or more, in seconds"),
        ('{"audio_filepath": "a\\ud800.wav"}', "has half a character (an unpaired surrogate)"),
        (
            '{"audio_filepath": ' + "9" * 5000 + "}",
            "has JSON that is too large or too deep to read",
        ),
        ("[" * 100_000, "has JSON that is too large or too deep to read"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, line: object, message: str) -> None:
    path = written(tmp_path / "m.jsonl", LINE, "", line)
    assert problem_with(path) == f"m.jsonl:3: {message}"


def test_bytes_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"audio_filepath": "a.wav"}\n{"audio_filepath": "caf\xe9.wav"}\n')
    message = (
        "m.jsonl:2: byte 24 (0xe9) is not UTF-8: save the file as UTF-8 (`ds2 corpus import "
        "DIR --texts m.jsonl` makes manifests from other kinds of tables, in any encoding)"
    )
    assert problem_with(path) == message


def test_missing_and_empty_and_broken_files_are_named(tmp_path: Path) -> None:
    assert problem_with(tmp_path / "m.jsonl") == "m.jsonl: no such file"
    assert problem_with(written(tmp_path / "m.jsonl", "", " ")) == "m.jsonl: has no utterances"
    broken = tmp_path / "m.jsonl.gz"
    broken.write_bytes(gzip.compress(json.dumps(LINE).encode() * 99)[:-9])
    message = "m.jsonl.gz: is not a complete gzip file: copy or compress it again"
    assert problem_with(broken) == message
    broken.write_bytes(b"plain")
    assert problem_with(broken) == message


def test_all_that_is_wrong_can_be_collected(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", "x", LINE, {"text": "a"}, LINE)
    errors: list[InputError] = []
    utterances = read_manifest(path, on_error=errors.append)
    assert [utterance.line for utterance in utterances] == [2, 4]
    assert [str(error).split(": ")[0] for error in errors] == [f"{path}:1", f"{path}:3"]


names = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner),
    max_leaves=4,
)
utterances_in = st.builds(
    Utterance,
    audio_path=names.filter(lambda name: name not in (".", "..")).map(lambda n: Path("/data") / n),
    duration_s=st.none() | st.floats(1e-3, 1e6),
    text=st.none() | st.text(),
    offset_s=st.floats(0, 1e6),
    speaker=st.none() | st.text(),
    language=st.sampled_from([None, "en", "zh"]),
    extra=st.dictionaries(st.text().map("x".__add__), json_values, max_size=3),
)


@settings(deadline=None, max_examples=50)
@given(utterances=st.lists(utterances_in, min_size=1, max_size=4))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, utterances: list[Utterance]
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "m.jsonl"
    write_manifest(path, utterances)
    assert read_manifest(path) == utterances


def test_recordings_below_the_manifest_move_with_it(tmp_path: Path) -> None:
    here = tmp_path / "here"
    write_manifest(here / "m.jsonl", [Utterance(here / "clips" / "a.wav"), Utterance(Path("/b"))])
    there = here.rename(tmp_path / "there")
    paths = [utterance.audio_path for utterance in read_manifest(there / "m.jsonl")]
    assert paths == [there / "clips" / "a.wav", Path("/b")]


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", LINE)
    with pytest.raises(TypeError):
        write_manifest(path, [Utterance(Path("/a")), Utterance(Path("/b"), extra={"x": object()})])
    assert json.loads(path.read_text()) == LINE
    assert [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")
def test_the_shared_manifests_are_read_whole() -> None:
    for path in DATA.glob("*/manifest.jsonl"):
        utterances = read_manifest(path)
        assert len(utterances) == path.read_bytes().count(b"\n")
        assert random.Random(0).choice(utterances).audio_path.is_file()


# CSV of DeepSpeech and Coqui


def test_csv_rows_are_utterances(tmp_path: Path) -> None:
    path = written(
        tmp_path / "train.csv",
        "wav_filename,wav_filesize,transcript,speaker",
        'a.wav,32044,"yes, ""no""",s1',
        "/x/b.wav,99,,s2",
    )
    first, second = read_manifest(path)
    assert first == Utterance(
        tmp_path / "a.wav", text='yes, "no"', speaker="s1", extra={"wav_filesize": "32044"}
    )
    assert (second.audio_path, second.text, second.line) == (Path("/x/b.wav"), "", 3)


def test_csv_is_known_by_its_header_too(tmp_path: Path) -> None:
    path = written(tmp_path / "train", "wav_filename,transcript", "a.wav,hello")
    assert read_manifest(path)[0].text == "hello"


LEADS_ON = "`ds2 corpus import DIR --texts m.csv` makes manifests from other kinds of tables"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b"], f"m.csv:1: has no column wav_filename (there is a, b): {LEADS_ON}"),
        (
            ["wav_filename,b"],
            f"m.csv:1: has no column transcript (there is wav_filename, b): {LEADS_ON}",
        ),
        (["wav_filename,transcript"], "m.csv: has no utterances"),
        (
            ["wav_filename,transcript", "a.wav,well, well"],
            "m.csv:2: has 3 fields, but the header has 2: put texts with commas in quotes",
        ),
        (["wav_filename,transcript", "", ",hello"], "m.csv:3: wav_filename is empty"),
        (
            ["wav_filename,transcript", 'a.wav,"hello', "b.wav,x"],
            "m.csv:3: is not CSV: unexpected end of data",
        ),
    ],
)
def test_what_is_wrong_in_csv_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    assert problem_with(written(tmp_path / "m.csv", *lines)) == message


# Kaldi


def kaldi(directory: Path, **tables: list[str]) -> Path:
    for name, lines in tables.items():
        written(directory / name.replace("_", "."), *lines)
    return directory


def test_a_kaldi_directory_without_segments(tmp_path: Path) -> None:
    directory = kaldi(
        tmp_path / "train",
        wav_scp=["u1 /x/a b.wav", "u2 b.wav"],
        text=["u2 hello  there", "u1"],
        utt2spk=["u1 s1", "u2 s2"],
        utt2dur=["u1 1.5"],
    )
    first, second = read_manifest(directory)
    assert first == Utterance(
        Path("/x/a b.wav"), duration_s=1.5, text="", speaker="s1", extra={"id": "u1"}
    )
    assert (second.audio_path, second.text) == (directory / "b.wav", "hello  there")
    assert (second.id, second.where) == ("u2", f"{directory}/wav.scp:2")
    assert read_manifest(directory / "wav.scp") == [first, second]


def test_a_kaldi_directory_with_segments(tmp_path: Path) -> None:
    directory = kaldi(
        tmp_path, wav_scp=["r /x/r.flac"], segments=["u1 r 0.5 2", "u2 r 2 -1"], text=["u1 hi"]
    )
    assert read_manifest(directory) == [
        Utterance(Path("/x/r.flac"), duration_s=1.5, text="hi", offset_s=0.5, extra={"id": "u1"}),
        Utterance(Path("/x/r.flac"), offset_s=2.0, extra={"id": "u2"}),
    ]


def test_names_relative_to_where_the_recipe_ran_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = kaldi(tmp_path / "data" / "train", wav_scp=["u wavs/u.wav"])
    written(tmp_path / "wavs" / "u.wav")
    monkeypatch.chdir(tmp_path)
    assert read_manifest(directory)[0].audio_path == tmp_path / "wavs" / "u.wav"
    written(directory / "wavs" / "u.wav")
    assert read_manifest(directory)[0].audio_path == directory / "wavs" / "u.wav"
    too_long = 300 * "u"
    directory = kaldi(tmp_path / "data" / "dev", wav_scp=[f"u {too_long}"])
    assert read_manifest(directory)[0].audio_path == directory / too_long


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"wav_scp": ["u sph2pipe -f wav u.sph |"]},
            "wav.scp:1: is a command, and ds2 does not run the commands of a manifest: "
            "write its output to a file and list that file",
        ),
        (
            {"wav_scp": ["u raw.ark:123"]},
            "wav.scp:1: is in a Kaldi archive: write it to a file and list that file",
        ),
        ({"wav_scp": ["u"]}, "wav.scp:1: names no file"),
        ({"wav_scp": ["u a", "u b"]}, "wav.scp:2: u is already in line 1"),
        ({"wav_scp": []}, "train: has no utterances"),
        (
            {"text": ["u a"]},
            "train: is a directory without manifest.jsonl, wav.scp (Kaldi) or the pair "
            "recordings.jsonl.gz and supervisions.jsonl.gz (lhotse): name the manifest itself, or "
            "make one from recordings and texts with `ds2 corpus import train`",
        ),
        (
            {"wav_scp": ["u a"], "text": ["u a", "v b"]},
            "text:2: utterance v has no line in wav.scp",
        ),
        (
            {"wav_scp": ["u a"], "segments": ["u a 0"]},
            "segments:1: must be: utterance recording start end",
        ),
        (
            {"wav_scp": ["u a"], "segments": ["u r 0 1"]},
            "segments:1: recording r has no line in wav.scp",
        ),
        (
            {"wav_scp": ["r a"], "segments": ["u r 2 1"]},
            "segments:1: 2 to 1: the end must come after the start",
        ),
        (
            {"wav_scp": ["u a"], "utt2dur": ["u long"]},
            "utt2dur:1: long: it must be a number of seconds above 0",
        ),
    ],
)
def test_what_is_wrong_in_a_kaldi_directory_is_named(
    tmp_path: Path, tables: dict[str, list[str]], message: str
) -> None:
    directory = kaldi(tmp_path / "train", **tables)
    assert problem_with(directory).removeprefix(f"{directory}/").removeprefix("train/") == message


# lhotse


def recording(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "sources": [{"type": "file", "channels": [0], "source": "/x/r1.wav"}],
        "sampling_rate": 16000,
        "num_samples": 160000,
        "duration": 10.0,
        "channel_ids": [0],
        **changes,
    }


def supervision(**changes: Any) -> dict[str, Any]:
    return {
        "id": "s1",
        "recording_id": "r1",
        "start": 1.0,
        "duration": 2.0,
        "channel": 0,
        "text": "hello",
        "language": "English",
        "speaker": "p1",
        "gender": "F",
        "custom": {"snr": 20},
        "alignment": {},
        **changes,
    }


def cut(**changes: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "start": 0.5,
        "duration": 9.0,
        "channel": 0,
        "supervisions": [supervision()],
        "recording": recording(),
        "type": "MonoCut",
        **changes,
    }


def test_each_supervision_of_a_cut_is_an_utterance(tmp_path: Path) -> None:
    cuts = [cut(supervisions=[supervision(), supervision(id="s2", start=4)]), cut(supervisions=[])]
    path = written(tmp_path / "cuts.jsonl", *cuts)
    first, second, third = read_manifest(path)
    assert first == Utterance(
        Path("/x/r1.wav"),
        duration_s=2.0,
        text="hello",
        offset_s=1.5,
        speaker="p1",
        language="English",
        extra={"id": "s1", "gender": "F", "snr": 20},
    )
    assert (second.id, second.offset_s, second.line) == ("s2", 4.5, 1)
    assert (third.id, third.offset_s, third.duration_s, third.text) == ("c1", 0.5, 9.0, None)


@pytest.mark.parametrize("name", ["recordings.jsonl", "supervisions.jsonl.gz", ""])
def test_either_of_a_pair_or_its_directory_gives_both(tmp_path: Path, name: str) -> None:
    written(tmp_path / "recordings.jsonl", recording())
    supervisions = tmp_path / "supervisions.jsonl.gz"
    supervisions.write_bytes(gzip.compress(json.dumps(supervision()).encode()))
    (utterance,) = read_manifest(tmp_path / name)
    assert (utterance.offset_s, utterance.duration_s, utterance.text) == (1.0, 2.0, "hello")
    assert utterance.where == f"{supervisions}:1"


REMEDY = "write it to its own file (lhotse: cuts.save_audios) and list that file"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"id": "m", "tracks": [], "type": "MixedCut"},
            f"is a MixedCut without a recording: {REMEDY}",
        ),
        (
            cut(recording=recording(sources=[{"type": "url", "source": "https://x"}])),
            f"its recording is not one file (sources: url): {REMEDY}",
        ),
        (
            cut(recording=recording(transforms=[{"name": "Resample"}, {"name": "Speed"}])),
            f"lhotse would transform the audio (Speed): {REMEDY}",
        ),
        (
            cut(channel=1, recording=recording(channel_ids=[0, 1])),
            f"needs only channel 1 of [0, 1]: {REMEDY}",
        ),
        (
            cut(duration=2.0),
            "supervision s1 lasts from 1.5 to 3.5 s, but its audio lasts from 0.5 to 2.5 s: "
            "trim the cuts (lhotse: cuts.trim_to_supervisions)",
        ),
        (cut(supervisions="s1"), "supervisions: it must be a list of objects"),
        (cut(recording=[1]), "recording: it must be an object"),
        (cut(duration=None), "duration is missing"),
        (cut(supervisions=[supervision(text=1)]), "text: 1: it must be a string"),
    ],
)
def test_what_is_wrong_in_cuts_is_named(tmp_path: Path, line: object, message: str) -> None:
    path = written(tmp_path / "cuts.jsonl", cut(), line)
    assert problem_with(path) == f"cuts.jsonl:2: {message}"


def test_what_is_wrong_in_a_pair_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x_recordings_a.jsonl", recording())
    assert problem_with(path) == (
        "x_recordings_a.jsonl: its supervisions are missing: "
        "there is no x_supervisions_a.jsonl beside it"
    )
    written(tmp_path / "x_supervisions_a.jsonl", supervision(recording_id="r2"))
    message = "x_supervisions_a.jsonl:1: recording r2 is not in x_recordings_a.jsonl"
    assert problem_with(path) == message
    written(tmp_path / "x_recordings_b.jsonl", recording())
    assert problem_with(tmp_path).endswith("has 2 lists of recordings: name one")
    path = written(tmp_path / "list.jsonl", recording())
    assert problem_with(path).startswith("list.jsonl: has lhotse's recordings or supervisions")


def test_cuts_that_lhotse_wrote_are_read_as_lhotse_reads_them(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    source = lhotse.Recording.from_dict(recording())
    segments = [
        lhotse.SupervisionSegment.from_dict(supervision(id=f"s{i}", start=3 * i)) for i in range(3)
    ]
    whole = lhotse.MonoCut("c", 0.0, 10.0, 0, supervisions=segments, recording=source)
    cuts = lhotse.CutSet.from_cuts([whole.resample(8000)])
    cuts.to_file(tmp_path / "cuts.jsonl.gz")
    utterances = read_manifest(tmp_path / "cuts.jsonl.gz")
    expected = [
        (Path(c.recording.sources[0].source), c.start, c.duration, s.text, s.speaker, s.id)
        for c in cuts.trim_to_supervisions(keep_overlapping=False)
        for s in c.supervisions
    ]
    assert expected == [
        (u.audio_path, u.offset_s, u.duration_s, u.text, u.speaker, u.id) for u in utterances
    ]
