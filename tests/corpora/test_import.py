"""Make a manifest from a folder of recordings and a table of texts, as people have them."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ds2.cli import main
from ds2.corpora.importing.encodings import decode
from ds2.manifest import Utterance, read_manifest

RATE_HZ = 16_000


def record(path: Path, seconds: float = 0.5) -> Path:
    """A recording of a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * time_s), RATE_HZ)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        record(tmp_path / "clips" / f"{name}.wav")
    return tmp_path / "clips"


def run(folder: Path, table: str | bytes, *arguments: str, name: str = "texts.csv") -> int:
    path = folder.parent / name
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    output = folder.parent / "manifest.jsonl"
    options = ["-o", str(output), "--force", *arguments]
    return main(["corpus", "import", str(folder), "--texts", str(path), *options])


def imported(
    folder: Path, table: str | bytes, *arguments: str, name: str = "texts.csv"
) -> dict[str, str]:
    """The texts by the names of the recordings."""
    assert run(folder, table, *arguments, name=name) == 0
    return {u.audio_path.name: u.text or "" for u in utterances(folder)}


def utterances(folder: Path) -> list[Utterance]:
    return read_manifest(folder.parent / "manifest.jsonl")


TEXTS = {"a.wav": "Hello, world", "b.wav": "Grüße", "c.wav": "three"}


WAV, QUOTED = ("a.wav", "b.wav", "c.wav"), ('"Hello, world"', "Grüße", "three")
PLAIN = tuple(TEXTS.values())


def joined(pattern: str, *columns: tuple[str, ...]) -> str:
    """A line for each row of the columns."""
    return "".join(pattern.format(*cells) for cells in zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("coqui.csv", "wav_filename,wav_filesize,transcript\n" + joined("{},1,{}\n", WAV, QUOTED)),
        ("excel.csv", "\ufeffFile Name;Sentence\r\n" + joined("{};{}\r\n", WAV, QUOTED)),
        ("old_mac.csv", "file;text\r" + joined("{};{}\r", ("a", "b", "c"), PLAIN)),
        ("tabs.tsv", "path\tsentence\n" + joined("{}\t{}\n", WAV, PLAIN)),
        ("metadata.csv", joined("{}|{}|{}\n", ("a", "b", "c"), ("Hello, 1", "Grüße", "3"), PLAIN)),
        ("paths.csv", "text,file\n" + joined("{},/home/me/clips/{}\n", QUOTED, WAV)),
        ("windows.csv", "text,file\n" + joined("{},C:\\data\\clips\\{}\n", QUOTED, WAV)),
        ("flac.csv", "file,text\n" + joined("clips/{}.flac,{}\n", ("a", "B", "c"), QUOTED)),
        ("foreign.csv", "Datei;Satz\n" + joined("{};{}\n", WAV, PLAIN)),
        ("nameless.csv", joined("{},{}\n", QUOTED, WAV)),
        ("lines.txt", joined("{} {}\n", ("a", "b", "c.wav"), PLAIN)),
        ("lines.jsonl", joined('{{"clip": "{}", "text": "{}"}}\n', WAV, PLAIN)),
        ("list.json", json.dumps([{"audio": a, "transcription": t} for a, t in TEXTS.items()])),
        ("one.json", json.dumps({"data": [{"file": a, "text": t} for a, t in TEXTS.items()]})),
        ("map.json", json.dumps(TEXTS)),
        ("spaces.csv", " File , Text\n" + joined("{} , {}\n", WAV, QUOTED)),
    ],
)
def test_tables_of_all_kinds(folder: Path, name: str, table: str) -> None:
    assert imported(folder, table, name=name) == TEXTS


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_are_told(folder: Path, encoding: str) -> None:
    table = "file;text\r\na.wav;Hello, world\r\nb.wav;Grüße\r\nc.wav;three\r\n"
    assert imported(folder, table.encode(encoding)) == TEXTS


@pytest.mark.parametrize(
    ("text", "encoding", "language"),
    [
        ("Die Straße ist schön", "cp1252", None),
        ("L'été à Genève, “déjà” œuvre", "cp1252", "fr"),
        ("Привет, мир! Как дела?", "cp1251", None),
        ("今天天气很好，我们去吃饭吧", "gb18030", None),
        ("你好", "gb18030", None),
        ("今天天氣很好，我們去吃飯吧", "big5", None),
        ("こんにちは世界、私は学生です", "cp932", None),
        ("안녕하세요 세계", "cp949", None),
        ("Zażółć gęślą jaźń", "cp1250", "pl"),
        ("Günaydın dünya şimdi", "cp1254", "tr"),
    ],
)
def test_encodings_of_windows_are_told(text: str, encoding: str, language: str | None) -> None:
    data = f"file,text\na.wav,{text}\n".encode(encoding)
    assert decode(data, "t.csv", None, language).text == data.decode(encoding)


def test_quotation_marks_that_are_text_stay(folder: Path) -> None:
    table = 'path\tsentence\na.wav\t"Hello" he said\nb.wav\t"Gr\nc.wav\tthe "end"\n'
    texts = imported(folder, table, name="validated.tsv")
    assert texts == {"a.wav": '"Hello" he said', "b.wav": '"Gr', "c.wav": 'the "end"'}


def test_a_quoted_text_may_have_line_ends_and_quotes(folder: Path) -> None:
    table = 'file,text\na.wav,"He said ""no"",\nand went"\nb.wav,yes\n'
    assert imported(folder, table) == {"a.wav": 'He said "no", and went', "b.wav": "yes"}
    assert [utterance.duration_s for utterance in utterances(folder)] == [0.5, 0.5]


def test_common_voice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = "client_id\tpath\tsentence\tup_votes\tage\tlocale\n"
    table += "s1\ta.wav\tOne.\t2\t\tde\ns2\tb.wav\tTwo.\t2\tfifties\tde\n"
    assert imported(folder, table, name="train.tsv") == {"a.wav": "One.", "b.wav": "Two."}
    first, second = utterances(folder)
    assert (first.speaker, second.speaker, first.language) == ("s1", "s2", "de")
    assert (dict(first.extra), dict(second.extra)) == (
        {"up_votes": "2"},
        {"up_votes": "2", "age": "fifties"},
    )
    told = capsys.readouterr().out
    for line in (
        'speaker: column "client_id"',
        'text: column "sentence"',
        'recording: column "path"',
    ):
        assert line in told
    assert "recordings without a text: 1" in told


def test_what_is_left_out_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.wav").write_bytes(b"RIFF nothing")
    record(folder / "d.wav")
    record(folder / "e.wav")
    table = "file,text\na.wav,one\nx.wav,two\nb.wav,\nc.wav,three,four\nbroken.wav,five\n"
    table += "a.wav,one\nd.wav,six\nd.wav,seven\n"
    assert imported(folder, table) == {"a.wav": "one"}
    told = capsys.readouterr().out
    for line in (
        "rows that cannot be read: 1",
        "texts.csv:5: has 3 cells, but there are 2 columns",
        "rows without a recording: 1",
        "texts.csv:3: there is no recording x.wav",
        "rows without a text: 1",
        "repeated rows: 1",
        "recordings with more than one text: 1",
        "recordings that cannot be read: 1",
        "recordings without a text: 2",  # c.wav, whose row cannot be read, and e.wav
    ):
        assert line in told, line


def test_texts_beside_the_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for speaker in ("anna", "bert"):
        record(tmp_path / "data" / speaker / "1.wav")
        (tmp_path / "data" / speaker / "1.txt").write_text("ein\nSatz\n", encoding="utf-8")
    record(tmp_path / "data" / "bert" / "2.flac")
    (tmp_path / "data" / "bert" / "2.lab").write_bytes("schön".encode("latin-1"))
    command = ["corpus", "import", str(tmp_path / "data"), "--speaker-from", "^([^/]+)/"]
    assert main([*command, "--language", "de"]) == 0
    found = read_manifest(tmp_path / "data")
    assert [(u.speaker, u.text, u.language) for u in found] == [
        ("anna", "ein Satz", "de"),
        ("bert", "ein Satz", "de"),
        ("bert", "schön", "de"),
    ]
    assert "texts: .txt and .lab beside the recordings" in capsys.readouterr().out
    assert main(command) == 2
    assert "exists already: replace it with --force, or name another" in capsys.readouterr().err


def test_the_one_table_in_the_folder_is_taken(folder: Path) -> None:
    (folder / "metadata.csv").write_text("a|One|One\nb|Two|Two\n", encoding="utf-8")
    assert main(["corpus", "import", str(folder)]) == 0
    assert [utterance.text for utterance in read_manifest(folder)] == ["One", "Two"]


def test_equal_names_in_several_folders_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for speaker in ("anna", "bert"):
        record(tmp_path / "clips" / speaker / "1.wav")
    texts = imported(tmp_path / "clips", "file,text\n/old/bert/1.wav,yes\nanna/1.wav,no\n")
    assert texts == {"1.wav": "no"}
    assert [u.audio_path.parent.name for u in utterances(tmp_path / "clips")] == ["bert", "anna"]
    capsys.readouterr()
    assert run(tmp_path / "clips", "file,text\n1.wav,yes\n") == 2
    told = capsys.readouterr().err
    assert "rows that fit several recordings, the first: " in told
    assert "texts.csv:2: 2 recordings have the name 1.wav: " in told


def test_accents_in_names_may_have_another_form(tmp_path: Path) -> None:
    """macOS writes accents in files' names as characters of their own; tables do not."""
    for form, folder in (("NFD", "one"), ("NFC", "two")):
        name = unicodedata.normalize(form, "zoë_é.wav")
        record(tmp_path / folder / unicodedata.normalize(form, "Müller") / name)
        for other in ("NFC", "NFD"):
            table = unicodedata.normalize(other, "file,text\nMüller/zoë_é.wav,yes\n")
            assert imported(tmp_path / folder, table) == {name: "yes"}


def test_a_text_that_is_too_long_for_a_name_is_no_recording(folder: Path) -> None:
    text = "many words " * 40
    table = f"{text}|a.wav\nshort|b.wav\n"
    assert imported(folder, table) == {"a.wav": text.strip(), "b.wav": "short"}
    assert imported(folder, f"file,text\na.wav,yes\n{text},no\n") == {"a.wav": "yes"}


def test_tables_in_folders_below_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "84" / "84-121.trans.txt"
    table.parent.mkdir()
    table.write_text("a ONE\n")
    assert main(["corpus", "import", str(folder)]) == 2
    assert f"with --texts, such as --texts {table}" in capsys.readouterr().err


def test_stretches_of_long_recordings(folder: Path) -> None:
    table = 'file,start,end,text\na.wav,0,"0,2",one\na.wav,0.2,0.4,two\nb.wav,5,6,late\n'
    assert run(folder, table) == 0
    stretches = [(u.offset_s, u.duration_s, u.text) for u in utterances(folder)]
    assert stretches == [(0.0, 0.2, "one"), (0.2, 0.2, "two")]


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        ("file,text\nx.wav,one\n", [], "no column names recordings of the directory, not even"),
        ("file\na.wav\n", [], "has no column with texts, only one with recordings"),
        ("", [], "is empty"),
        ("file,text\n", [], "has only a header"),
        ("file,text\na.wav\n", [], "texts.csv:2: has 1 cells, but there are 2 columns"),
        (b"PK\x03\x04\0\0\0\0", [], "is a spreadsheet or an archive: save the table as CSV"),
        ("[1, 2]", [], "must be a JSON array of objects"),
        ("[{", [], "is not JSON"),
        (b"\x00\x01\x02\x03binary\xff" * 9, [], "is not text"),
        ("file,text\na.wav,one\n", ["--columns", "audio"], "gives 1 names, but"),
        ("file,text\na.wav,one\n", ["--speaker-from", "("], "is not a regular expression"),
        ("file,text\na.wav,one\n", ["--encoding", "klingon"], "no such encoding"),
        ("file,text\na.wav,\n", [], "nothing can be imported: rows without a text"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    table: str | bytes,
    arguments: list[str],
    message: str,
) -> None:
    assert run(folder, table, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (folder.parent / "manifest.jsonl").exists()


def test_columns_can_be_named(folder: Path) -> None:
    table = "a.wav|7|One two three\nb.wav|8|Four five six\n"
    assert imported(folder, table, "--columns", "audio,speaker,text")["a.wav"] == "One two three"
    assert [utterance.speaker for utterance in utterances(folder)] == ["7", "8"]


def test_a_check_of_a_foreign_table_leads_to_import(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, table in (
        ("a.csv", "path,sentence\na.wav,one\n"),
        ("b.tsv", "path\tsentence\na.wav\tone\n"),
        ("c.json", '[\n{"file": "a.wav", "text": "one"}]'),
        ("d.jsonl", '{"file": "a.wav", "text": "one"}\n'),
        ("metadata.csv", "a|one|one\n"),
        ("e.csv", b"wav_filename,transcript\na.wav,sch\xf6n\n"),
    ):
        path = folder / name
        path.write_bytes(table if isinstance(table, bytes) else table.encode())
        status = main(["check", str(path), "--no-audio"])
        told = capsys.readouterr()
        assert status in (1, 2)
        assert "ds2 corpus import DIR --texts" in told.err + told.out, (name, told)
    assert main(["check", str(folder)]) == 2
    assert "ds2 corpus import" in capsys.readouterr().err


# What belongs to another command


def told_by(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The one line that a command is refused with."""
    try:
        status = main([*command])
    except SystemExit as error:  # of the parser of arguments
        status = int(str(error.code))
    assert status == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("toolkit", [[], ["paddlespeech"], ["deepspeech.pytorch"]])
def test_recordings_are_not_imported_as_a_model(
    toolkit: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["-o", str(folder / "bundle")] if toolkit else []
    message = told_by(capsys, "import", *toolkit, str(folder), *output)
    assert f"{folder}: holds recordings (a.wav) and no checkpoint" in message
    assert f"ds2 corpus import {folder} makes a manifest" in message
    message = told_by(capsys, "import", *toolkit, str(folder / "a.wav"), *output)
    assert "is a recording: ds2 corpus import makes a manifest" in message


def test_a_model_is_not_imported_as_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "exp" / "checkpoints" / "avg_1.pdparams"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    message = told_by(capsys, "corpus", "import", str(tmp_path))
    assert "holds a checkpoint of a model (avg_1.pdparams): ds2 import makes a bundle" in message
    message = told_by(capsys, "corpus", "import", str(checkpoint))
    assert "is a checkpoint of a model: ds2 import makes a bundle of it" in message
    message = told_by(capsys, "import", str(tmp_path))
    assert "name its toolkit first, one of paddlespeech, deepspeech.pytorch" in message
    assert not (tmp_path / "manifest.jsonl").exists()


def test_one_recording_is_no_folder_of_recordings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = told_by(capsys, "corpus", "import", str(folder / "a.wav"))
    assert "a.wav: is a recording: name the folder that it lies in" in message


def test_recordings_beside_a_checkpoint_are_imported(folder: Path) -> None:
    (folder / "best.pt").write_bytes(b"")
    assert imported(folder, "file,text\na.wav,yes\n") == {"a.wav": "yes"}
