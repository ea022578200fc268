"""`ds2 lm` from the command line."""

import argparse
import json
from pathlib import Path

import pytest

from aids.grams import GENESIS, POEM, grams_in
from ds2.cli import lm, main
from ds2.errors import InputError
from ds2.ngram.model import NgramModel


def ds2(*arguments: object) -> None:
    """Run `ds2 lm ...` directly, without the additions of `ds2.cli.main`."""
    parser = argparse.ArgumentParser(prog="ds2")
    lm.add_parser(parser.add_subparsers())
    args = parser.parse_args(["lm", *map(str, arguments)])
    args.run(args)


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.txt"
    path.write_text(GENESIS.title(), encoding="utf-8")
    return path


def test_build_writes_a_model_and_says_what_it_is(
    genesis: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, arpa = genesis.parent / "lm.bin", genesis.parent / "lm.arpa.gz"
    ds2("build", genesis, "-o", output, "--order", 3, "--prune", 0, 0, 1, "--arpa", arpa)
    shown = capsys.readouterr()
    assert "203 words in 10 sentences" in shown.out
    assert "130" in shown.out  # trigrams pruned
    assert shown.err == ""
    model = NgramModel.load(output)
    assert (model.unit, model.facts.language, model.counts) == ("word", "en", (62, 128, 31))
    assert model.max_error > 0
    assert NgramModel.load(arpa).counts == model.counts


def test_sentences_that_are_held_out_are_not_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, dev, output = tmp_path / "text.txt", tmp_path / "dev.jsonl", tmp_path / "lm.bin"
    source.write_text(GENESIS + "Xylophones, yes!\n")
    line = {"audio_filepath": "a.wav", "duration": 1.0, "text": "xylophones yes"}
    dev.write_text(json.dumps(line))
    ds2("build", source, "-o", output, "--order", 2)
    assert "xylophones" in NgramModel.load(output).vocabulary
    capsys.readouterr()
    ds2("build", source, "-o", output, "--order", 2, "--held-out", dev)
    assert f"left out 1 lines, because they are in {dev}" in capsys.readouterr().out
    assert "xylophones" not in NgramModel.load(output).vocabulary


def test_spaces_do_not_hide_a_sentence_that_is_held_out(tmp_path: Path) -> None:
    source, dev, output = tmp_path / "poem.txt", tmp_path / "dev.txt", tmp_path / "lm.bin"
    lines = POEM.split("\n")
    source.write_text(POEM, encoding="utf-8")
    dev.write_text(" ".join(lines[0]), encoding="utf-8")
    build = ("build", source, "-o", output, "--language", "zh", "--order", 2)
    ds2(*build, "--discount-fallback", "--held-out", dev)
    assert not set(lines[0]) - set("".join(lines[1:])) & set(NgramModel.load(output).vocabulary)


def test_a_manifest_is_a_text(tmp_path: Path) -> None:
    manifest, text = tmp_path / "train.jsonl", tmp_path / "train.txt"
    text.write_text(GENESIS)
    lines = ({"audio_filepath": "a.wav", "text": line} for line in GENESIS.strip().split("\n"))
    manifest.write_text("\n".join(map(json.dumps, lines)))
    for source in (manifest, text):
        ds2("build", source, "-o", source.with_suffix(".bin"), "--order", 3)
    assert manifest.with_suffix(".bin").read_bytes() == text.with_suffix(".bin").read_bytes()


def test_the_line_of_a_mark_is_right_beside_lines_held_out(tmp_path: Path) -> None:
    source, dev = tmp_path / "text.txt", tmp_path / "dev.txt"
    source.write_text("a dog\na cat\nan <unk>\n")
    dev.write_text("a dog\n")
    with pytest.raises(InputError, match=r"text\.txt:3: holds the word <unk>"):
        ds2("build", source, "-o", tmp_path / "lm.bin", "--no-normalise", "--held-out", dev)


def test_mandarin_is_built_of_characters(tmp_path: Path) -> None:
    source, output = tmp_path / "poem.txt", tmp_path / "lm.bin"
    source.write_text(POEM, encoding="utf-8")
    ds2("build", source, "-o", output, "--language", "zh", "--order", 2, "--discount-fallback")
    model = NgramModel.load(output)
    assert (model.unit, model.facts.language) == ("character", "zh")
    assert model.vocabulary[3:6] == list("床前明")


def test_options_of_build_reach_the_model(genesis: Path) -> None:
    output = genesis.parent / "lm.bin"
    ds2(
        *("build", genesis, "-o", output, "--order", 2, "--no-normalise", "--exact"),
        *("--vocabulary", 5, "--memory", "64K", "--discount-fallback", 0.6, 1.1),
        "--no-interpolate-unigrams",
    )
    model = NgramModel.load(output)
    assert model.max_error == 0
    assert model.facts.language is None
    assert model.vocabulary[3:] == ["The", "God", "And", "Was", "Waters"]


def test_many_blank_lines_are_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "text.txt", tmp_path / "lm.bin"
    source.write_text(GENESIS.replace("\n", "\n\n"))
    command = ["lm", "build", str(source), "-o", str(output), "--order", "2"]
    assert main(command) == 0
    assert "ds2: 50% of the lines have no words" in capsys.readouterr().err
    assert main([*command, "--skip-blank-lines"]) == 0
    assert capsys.readouterr().err == ""


def test_score_perplexity_and_info_are_readable(
    genesis: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, text = genesis.parent / "lm.bin", genesis.parent / "new.txt"
    ds2("build", genesis, "-o", output, "--order", 3)
    text.write_text("And God said: zebra!\n")
    capsys.readouterr()

    ds2("score", output, text, "--words")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["log-prob", "words", "unknown", "text"]
    assert lines[1].split()[1:] == ["4", "1", "and", "god", "said", "zebra"]
    assert lines[5].split()[1:] == ["1-gram", "zebra", "unknown"]
    total = sum(float(line.split()[0]) for line in lines[2:])
    assert float(lines[1].split()[0]) == pytest.approx(total, abs=0.01)

    ds2("score", output, text, "--words", "--json")
    fields = json.loads(capsys.readouterr().out)
    assert fields["log_prob"] == pytest.approx(total, abs=0.01)
    assert fields["words"][0][0] == "and"

    ds2("perplexity", output, text)
    shown = capsys.readouterr().out
    assert "1 (25.00%)" in shown
    ds2("info", output)
    shown = capsys.readouterr().out
    assert "16-bit codes" in shown
    assert "128" in shown


def test_convert_goes_there_and_back(genesis: Path) -> None:
    model, arpa, again = (genesis.parent / name for name in ("lm.bin", "lm.arpa.gz", "new.bin"))
    ds2("build", genesis, "-o", model, "--order", 3, "--exact")
    ds2("convert", model, "-o", arpa)
    ds2("convert", arpa, "-o", again, "--exact", "--language", "en")
    one, other = NgramModel.load(model), NgramModel.load(again)
    assert grams_in(one) == grams_in(other)
    assert (other.unit, other.facts.language) == ("word", "en")


def test_interpolate_mixes_models(genesis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = genesis.parent
    lines = GENESIS.splitlines(keepends=True)
    (directory / "rest.txt").write_text("".join(lines[:9]))
    (directory / "dev.txt").write_text("".join(lines[4:8]))
    ds2("build", genesis, "-o", directory / "a.bin", "--order", 2)
    ds2("build", directory / "rest.txt", "-o", directory / "b.bin", "--discount-fallback")
    capsys.readouterr()
    models = (directory / "a.bin", directory / "b.bin")
    output, arpa = directory / "mixed.bin", directory / "mixed.arpa"
    ds2("interpolate", *models, "--dev", directory / "dev.txt", "-o", output, "--arpa", arpa)
    assert "weight" in capsys.readouterr().out
    mixture = NgramModel.load(output)
    assert mixture.order == 5
    assert mixture.facts.language == "en"
    assert sum(mixture.facts.origin["weights"]) == pytest.approx(1)
    assert NgramModel.load(arpa).counts == mixture.counts


def test_interpolate_takes_given_weights(genesis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = genesis.parent
    (directory / "rest.txt").write_text("".join(GENESIS.splitlines(keepends=True)[:5]))
    a, b, output = (directory / f"{name}.bin" for name in ("a", "b", "mixed"))
    ds2("build", genesis, "-o", a, "--order", 1, "--exact")
    ds2("build", directory / "rest.txt", "-o", b, "--order", 1, "--discount-fallback", "--exact")
    capsys.readouterr()
    ds2("interpolate", a, b, "--weights", 3, 1, "-o", output, "--exact")
    assert "0.7500" in capsys.readouterr().out
    models = [grams_in(NgramModel.load(path)) for path in (a, b, output)]
    first, second, mixed = (10 ** grams["god",][0] for grams in models)
    assert mixed == pytest.approx(0.75 * first + 0.25 * second, rel=1e-5)


@pytest.mark.parametrize("weights", [("1",), ("1", "-1"), ("0", "0"), ("nan", "1")])
def test_unfit_weights_are_refused(genesis: Path, weights: tuple[str, ...]) -> None:
    model, output = genesis.parent / "a.bin", genesis.parent / "mixed.bin"
    ds2("build", genesis, "-o", model, "--order", 1)
    with pytest.raises(InputError, match="--weights"):
        ds2("interpolate", model, model, "-o", output, "--weights", *weights)
    assert not output.exists()


def test_prune_makes_a_model_of_the_given_size(
    genesis: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output, arpa = (genesis.parent / name for name in ("a.bin", "small.bin", "small.arpa"))
    ds2("build", genesis, "-o", model, "--order", 3)
    capsys.readouterr()
    size = model.stat().st_size - 1000
    ds2("prune", model, "-o", output, "--size", f"{size / 1024}K", "--arpa", arpa)
    assert "threshold" in capsys.readouterr().out
    before, after = NgramModel.load(model), NgramModel.load(output)
    assert size - 100 < output.stat().st_size <= size
    assert after.vocabulary == before.vocabulary
    assert grams_in(NgramModel.load(arpa)).keys() == grams_in(after).keys()
    threshold = after.facts.origin["pruned below"]
    ds2("prune", model, "-o", genesis.parent / "again.bin", "--threshold", threshold)
    assert (genesis.parent / "again.bin").read_bytes() == output.read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "1K", "the words of .*a.bin alone need more"),
        ("--size", "big", '--size: "big": it must be a size'),
        ("--threshold", "nan", "--threshold: nan: it must be 0 or more"),
    ],
)
def test_prune_refuses_what_it_cannot_do(
    genesis: Path, option: str, value: str, message: str
) -> None:
    model, output = genesis.parent / "a.bin", genesis.parent / "small.bin"
    ds2("build", genesis, "-o", model, "--order", 2)
    with pytest.raises(InputError, match=message):
        ds2("prune", model, "-o", output, option, value)
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "TEXT", "--order", "9"], "order: 9: it must be 1 to 8"),
        (["build", "TEXT", "--memory", "much"], '--memory: "much": it must be a size'),
        (["build", "TEXT", "--memory", "0"], '--memory: "0": it must be a size'),
        (["build", "TEXT", "--discount-fallback", "0.5", "1", "1", "1"], "at most three discounts"),
        (["build", "nothing.txt"], "nothing.txt: no such file"),
        (["interpolate", "a.bin", "--dev", "TEXT"], "name two or more models"),
        (["interpolate", "a.bin", "b.bin", "--dev", "TEXT"], "a.bin: no such file"),
    ],
)
def test_wrong_input_is_refused(arguments: list[str], message: str, genesis: Path) -> None:
    arguments = [str(genesis) if item == "TEXT" else item for item in arguments]
    with pytest.raises(InputError, match=message):
        ds2(*arguments, "-o", genesis.parent / "lm.bin")
    assert not (genesis.parent / "lm.bin").exists()


def test_perplexity_of_nothing_is_refused(genesis: Path) -> None:
    output, empty = genesis.parent / "lm.bin", genesis.parent / "empty.txt"
    ds2("build", genesis, "-o", output, "--order", 2)
    empty.write_text("\n")
    with pytest.raises(InputError, match=r"empty.txt: has no words to score"):
        ds2("perplexity", output, empty)
