"""Text files from programs on Windows: with a byte order mark, or in UTF-16."""

import gzip
import json
from pathlib import Path

import pytest

from ds2.cli.options.decoding import _phrases_in
from ds2.errors import InputError
from ds2.files import HEAD_BYTES, open_text, read_text
from ds2.importing.files import read_lines
from ds2.manifest import read_manifest
from ds2.ngram.arpa import read_arpa
from ds2.ngram.corpus import read_lines as read_sentence_lines
from ds2.serving.access.keys import read_keys
from ds2.text.alphabet import Alphabet, english_characters

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
TEXT = "na\u00efve \u4f60\u597d \U0001f600\n" * 700  # longer than one read
ARPA = """
\\data\\
ngram 1=4

\\1-grams:
-1.0\t<unk>
-99\t<s>
-0.5\t</s>
-0.5\tcaf\u00e9

\\end\\
"""


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_mark_tells_the_encoding(tmp_path: Path, encoding: str, packed: bool) -> None:
    data = TEXT.encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert read_text(path) == TEXT
    with open_text(path) as file:
        assert [line.decode() for line in file] == TEXT.splitlines(keepends=True)


def test_what_cannot_be_told_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for data, told in (
        (TEXT.encode("utf-16-le"), "holds zero bytes, as UTF-16 without its mark does"),
        (gzip.compress(TEXT.encode()), "is compressed by gzip: give it a name that ends in .gz"),
        (b"\xff\xfe" + b"a\0" * HEAD_BYTES + b"\0\xdc", "begins as UTF-16, but holds other bytes"),
        ("caf\u00e9".encode("latin-1"), "byte 3 is not UTF-8: save it as UTF-8"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=told) as raised:
            read_text(path)
        assert str(raised.value).startswith(f"{path}: ")
        assert "\n" not in str(raised.value)
    path.write_bytes(b"")
    assert read_text(path) == ""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_all_that_people_write_is_read(tmp_path: Path, encoding: str) -> None:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
        return tmp_path / name

    _, words = read_arpa(write("a.arpa", ARPA))
    assert words[3:] == ["caf\u00e9"]
    line = json.dumps({"audio_filepath": "a.wav", "text": "\u4f60\u597d"}, ensure_ascii=False)
    (utterance,) = read_manifest(write("m.jsonl", line + "\n"))
    assert utterance.text == "\u4f60\u597d"
    (phrase,) = _phrases_in(write("phrases.txt", "# names\nZo\u00eb:7\n"))
    assert (phrase.text, phrase.weight) == ("Zo\u00eb", 7.0)
    assert read_keys(write("keys.txt", "a-key-of-enough-letters-1234\n")) == (
        "a-key-of-enough-letters-1234",
    )
    assert read_lines(write("tokens.txt", "a\nb")) == ["a", "b"]
    lines = [line.strip() for line in read_sentence_lines([write("lm.txt", "one\ntwo\n")], None)]
    assert lines == ["one", "two"]
    alphabet = json.dumps(english_characters().to_dict())
    assert Alphabet.load(write("alphabet.json", alphabet)) == english_characters()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_settings_may_have_a_mark(tmp_path: Path, encoding: str) -> None:
    pytest.importorskip("torch")
    from ds2.training.config import load_config

    path = tmp_path / "run.toml"
    text = '[data]\ntrain = ["a.jsonl"]\ndev = ["b.jsonl"]\n[training]\nepochs = 7\n'
    path.write_bytes(text.encode(encoding))
    assert load_config(path).training.epochs == 7
