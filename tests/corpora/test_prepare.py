"""Make manifests of public corpora: real layouts, broken copies, interrupted downloads."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aids import public_corpora as layouts
from ds2.audio import read_audio
from ds2.cli import main
from ds2.corpora.public.prepare import Request, corpus_named, prepare
from ds2.corpora.public.record import Prepared
from ds2.corpora.public.unpack import unpack
from ds2.errors import InputError
from ds2.installation import install_command
from ds2.manifest import Utterance, read_manifest

pytest.importorskip("lhotse")


def run(*arguments: object) -> int:
    return main(["corpus", "prepare", *map(str, arguments)])


def silent(_stage: str, _fraction: float | None) -> None:
    pass


def prepared(name: str, directory: Path, *arguments: str) -> dict[str, list[Utterance]]:
    """The manifests of an incomplete copy, in which `ds2 check` finds no problem."""
    assert run(name, directory, "--allow-incomplete", "--jobs", 1, *arguments) == 0
    manifests = sorted(directory.glob("*.jsonl"))
    for manifest in manifests:
        assert main(["check", str(manifest), "--jobs", "1"]) == 0
    return {path.stem: read_manifest(path) for path in manifests}


def facts(utterances: list[Utterance]) -> list[tuple[str | None, str | None, str | None]]:
    return [(item.speaker, item.text, item.language) for item in utterances]


# Each corpus


def test_librispeech_gives_a_manifest_for_each_split(tmp_path: Path) -> None:
    layouts.librispeech(tmp_path)
    manifests = prepared("librispeech", tmp_path)
    assert list(manifests) == ["dev-clean", "train-clean-100"]
    assert facts(manifests["train-clean-100"]) == [
        ("19", "A BAD CAB", "en"),
        ("19", "ACE DECADE", "en"),
        ("26", "A BAD CAB", "en"),
        ("26", "ACE DECADE", "en"),
    ]
    first = manifests["train-clean-100"][0]
    assert first.audio_path == tmp_path / "LibriSpeech/train-clean-100/19/198/19-198-0000.flac"
    assert first.duration_s == pytest.approx(len(read_audio(first.audio_path)) / 16_000)
    assert (first.id, first.extra["source"]) == ("19-198-0000", "librispeech")


def test_a_manifest_moves_with_its_corpus(tmp_path: Path) -> None:
    layouts.librispeech(tmp_path / "here", ["dev-clean"])
    prepared("librispeech", tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    (first, *_) = read_manifest(tmp_path / "there" / "dev-clean.jsonl")
    assert first.audio_path.exists()


def test_mini_librispeech_has_splits_of_its_own(tmp_path: Path) -> None:
    layouts.librispeech(tmp_path, ["train-clean-5", "dev-clean-2"])
    assert list(prepared("mini-librispeech", tmp_path)) == ["dev-clean-2", "train-clean-5"]


@pytest.mark.parametrize("below", ["", "data_aishell"])
def test_aishell_is_found_from_its_directory_and_from_the_one_above(
    tmp_path: Path, below: str
) -> None:
    layouts.aishell(tmp_path)
    manifests = prepared("aishell-1", tmp_path / below)
    assert list(manifests) == ["dev", "test", "train"]
    assert facts(manifests["dev"]) == [
        ("S0724", "广州市房地产", "zh"),
        ("S0724", "绿是阳春", "zh"),
    ]


def test_thchs_30_is_read_through_its_links(tmp_path: Path) -> None:
    layouts.thchs_30(tmp_path)
    manifests = prepared("thchs30", tmp_path)
    assert facts(manifests["test"]) == [("D4", "他 仅 凭 腰部", "zh"), ("D4", "一年 四季", "zh")]
    assert [len(manifests[name]) for name in ("train", "dev", "test")] == [2, 2, 2]


@pytest.mark.parametrize("tells_durations", [False, True])
def test_common_voice_is_read_by_language(tmp_path: Path, tells_durations: bool) -> None:
    layouts.common_voice(tmp_path, tells_durations=tells_durations)
    manifests = prepared("common-voice", tmp_path, "--language", "en")
    assert list(manifests) == ["en-dev", "en-test", "en-train"]
    assert facts(manifests["en-train"]) == [
        ("0f00", '"A Bad Cab."', "en"),
        ("0f00", '"Ace Decade."', "en"),
    ]
    assert manifests["en-train"][0].duration_s == pytest.approx(1.3, abs=0.1)
    assert manifests["en-train"][0].extra["accents"] == "England English"


def test_a_language_of_common_voice_must_be_chosen_where_there_are_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.common_voice(tmp_path, "en")
    layouts.common_voice(tmp_path, "zh-CN")
    assert run("common-voice", tmp_path) == 2
    assert capsys.readouterr().err == f"ds2: {tmp_path}: holds en, zh-CN: choose with --language\n"
    assert run("common-voice", tmp_path, "--language", "zh-cn") == 2
    assert "did you mean zh-CN?" in capsys.readouterr().err
    assert run("common-voice", tmp_path, "--language", "zh-CN", "--split", "validated") == 0
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["zh-CN-validated.jsonl"]
    assert len(read_manifest(tmp_path / "zh-CN-validated.jsonl")) == 6


def test_a_release_of_common_voice_with_few_columns_is_read(tmp_path: Path) -> None:
    root = layouts.common_voice(tmp_path)
    for path in root.glob("*.tsv"):
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        path.write_text("".join("\t".join([row[0], row[1], row[3]]) + "\n" for row in rows))
    assert len(prepared("common-voice", tmp_path)["en-train"]) == 2


def test_tedlium_gives_segments_of_its_talks(tmp_path: Path) -> None:
    root = layouts.tedlium(tmp_path)
    manifests = prepared("tedlium", tmp_path)
    utterances = manifests["train"]
    assert facts(utterances) == [
        ("Speaker0_2010", "it's bad", "en"),
        ("Speaker0_2010", "a cab", "en"),
    ]
    assert [(u.offset_s, u.duration_s) for u in utterances] == [
        (0.15, pytest.approx(0.55)),
        (0.75, pytest.approx(0.5)),
    ]
    assert utterances[0].audio_path == root / "legacy/train/sph/Speaker0_2010.sph"
    whole = read_audio(utterances[0].audio_path)
    part = read_audio(utterances[0].audio_path, offset_s=0.15, duration_s=0.55)
    assert (part == whole[2400:11200]).all()


def test_an_argument_of_the_preparer_can_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.tedlium(tmp_path)
    arguments = ("tedlium", tmp_path, "--allow-incomplete", "--split", "dev", "--option")
    assert run(*arguments, "normalize_text=none") == 0
    assert read_manifest(tmp_path / "dev.jsonl")[0].text == "it 's bad"
    assert run(*arguments, "normalise=none") == 2
    assert "--option normalise: lhotse's preparer of tedlium takes" in capsys.readouterr().err


def test_an4_is_read_without_lhotse(tmp_path: Path) -> None:
    layouts.an4(tmp_path)
    manifests = prepared("an4", tmp_path)
    assert facts(manifests["test"]) == [
        ("fcaw", "A BAD CAB", "en"),
        ("fcaw", "ACE DECADE", "en"),
    ]
    assert len(read_audio(manifests["train"][0].audio_path)) == len(layouts.sing(0))


def test_ljspeech_is_one_split(tmp_path: Path) -> None:
    layouts.ljspeech(tmp_path)
    (name, utterances), *others = prepared("ljspeech", tmp_path).items()
    assert (name, others) == ("all", [])
    assert utterances[0].text == "A Bad Cab."
    assert utterances[0].extra["normalized_text"] == "a bad cab."


def test_vctk_gives_the_second_microphone_of_its_present_version(tmp_path: Path) -> None:
    layouts.vctk(tmp_path)
    utterances = prepared("vctk", tmp_path)["all"]
    assert facts(utterances)[:2] == [("p225", "Ace Decade.", "en"), ("p225", "Deca Abed.", "en")]
    assert [item.audio_path.stem for item in utterances] == [
        "p225_001_mic2",
        "p225_002_mic2",
        "p226_001_mic2",
        "p226_002_mic2",
    ]
    assert utterances[0].extra["accent"] == "English"


def test_a_corpus_that_only_lhotse_knows_is_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "ST-CMDS-20170001_1-OS"
    for number in range(2):
        name = f"20170001P0000{number}A0001"
        layouts.write(root / f"{name}.wav", seed=number)
        layouts.write_text(root / f"{name}.txt", layouts.MANDARIN[number])
        layouts.write_text(root / f"{name}.metadata", "x")
    utterances = prepared("stcmds", tmp_path)["train"]
    assert [(item.text, item.language) for item in utterances] == [
        ("广州 市 房地产", "zh"),
        ("绿 是 阳春", "zh"),
    ]
    assert run("stcmds", tmp_path) == 0
    assert "(done before)" in capsys.readouterr().out
    assert run("stcmds", tmp_path, "--split", "dev") == 2
    assert "holds no utterances of stcmds in --split dev" in capsys.readouterr().err


def test_noise_gives_recordings_without_text(tmp_path: Path) -> None:
    for kind in ("noise", "music", "speech"):
        place = tmp_path / "musan" / kind / "fma"
        layouts.write(place / f"{kind}-fma-0000.wav", seed=7)
        layouts.write_text(place / "ANNOTATIONS", f"{kind}-fma-0000 pop Y Someone")
    assert run("musan", tmp_path, "--split", "noise", "--allow-incomplete") == 0
    (utterance,) = read_manifest(tmp_path / "noise.jsonl")
    assert utterance.text is None
    assert utterance.audio_path.name == "noise-fma-0000.wav"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["single-gpu", "eight-gpus"])
def test_a_recipe_trains_on_what_was_prepared(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    layouts.librispeech(tmp_path)
    prepared("librispeech", tmp_path)
    settings = {
        "data.train": [str(tmp_path / "train-clean-100.jsonl")],
        "data.dev": [str(tmp_path / "dev-clean.jsonl")],
        "data.num_workers": 0,
        "network.hidden_size": 8,
        "network.num_recurrent": 1,
        "network.fully_connected": [8],
        "training.epochs": 1,
        "training.bf16": False,
        "training.device": "cpu",
    }
    overrides = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    recipe = Path(__file__).parents[2] / "recipes" / "librispeech" / f"{name}.toml"
    assert main(["train", str(recipe), "-o", str(tmp_path / "run"), *overrides]) == 0
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_the_list_names_corpora_with_their_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "language", "hours", "licence", "download"]
    (mini,) = (line for line in lines if line.startswith("mini-librispeech"))
    assert mini.split() == ["mini-librispeech", "en", "7", "CC", "BY", "4.0", "yes"]
    assert any(line.split()[0] == "gigaspeech" for line in lines)
    assert len(lines) > 80


# Figures, continued runs


def test_an_incomplete_split_gets_no_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.librispeech(tmp_path)
    assert run("librispeech", tmp_path) == 2
    assert capsys.readouterr().err == (
        "ds2: train-clean-100: 28,539 utterances expected, 4 found: the copy is incomplete\n"
        "ds2: dev-clean: 2,703 utterances expected, 4 found: the copy is incomplete\n"
        "ds2: 2 of 2 splits got no manifest: download the missing parts, or write "
        "incomplete splits with --allow-incomplete\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["LibriSpeech"]
    assert run("librispeech", tmp_path, "--allow-incomplete") == 0
    captured = capsys.readouterr()
    assert "train-clean-100: 28,539 utterances expected, 4 found" in captured.err
    assert "train-clean-100: 4 utterances, 0.0 hours, 2 speakers: " in captured.out


def test_a_recording_that_is_listed_but_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = layouts.librispeech(tmp_path, ["dev-clean"])
    lost = root / "dev-clean/19/198/19-198-0001.flac"
    lost.unlink()
    assert run("librispeech", tmp_path) == 2
    assert f"3 found: the copy is incomplete (first missing: {lost})" in capsys.readouterr().err
    root = layouts.common_voice(tmp_path)
    (root / "clips" / "common_voice_en_1.mp3").write_bytes(b"")
    (root / "clips" / "common_voice_en_101.mp3").unlink()
    assert run("common-voice", tmp_path) == 2
    assert capsys.readouterr().err.splitlines()[:2] == [
        "ds2: en-train: 1 files of its lists are missing: the copy is incomplete (first missing: "
        "common_voice_en_1.mp3, which is empty or unreadable)",
        "ds2: en-dev: 1 files of its lists are missing: the copy is incomplete (first missing: "
        "common_voice_en_101.mp3)",
    ]
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["en-test.jsonl"]


def complete_librispeech(directory: Path) -> Request:
    """A request for a corpus whose official figures are those of the tiny copy."""
    layouts.librispeech(directory)
    corpus = corpus_named("librispeech")
    splits = [split for split in corpus.splits if split.name in ("train-clean-100", "dev-clean")]
    counts = tuple(replace(split, num_utterances=4, hours=0.0) for split in splits)
    return Request(replace(corpus, splits=counts), directory)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    request = complete_librispeech(tmp_path)
    first = prepare(request, silent)
    assert [(entry.is_written, entry.was_done) for entry in first] == [(True, False)] * 2
    again = prepare(request, silent)
    assert again == [replace(entry, was_done=True) for entry in first]
    assert not any(entry.was_done for entry in prepare(replace(request, repeats=True), silent))
    (tmp_path / "dev-clean.jsonl").unlink()
    assert {entry.name: entry.was_done for entry in prepare(request, silent)} == {
        "train-clean-100": True,
        "dev-clean": False,
    }


def test_an_interrupted_run_goes_on_with_the_next_split(tmp_path: Path) -> None:
    request = complete_librispeech(tmp_path)
    damaged = tmp_path / "LibriSpeech/dev-clean/20/198/20-198-0001.flac"
    data = damaged.read_bytes()
    damaged.write_bytes(b"no sound")
    with pytest.raises(
        InputError, match=r"20-198-0001.flac.*the copy is damaged: download it again"
    ):
        prepare(request, silent)
    assert sorted(path.name for path in tmp_path.glob("*.json*")) == [
        "prepare.json",
        "train-clean-100.jsonl",
    ]
    damaged.write_bytes(data)
    results = prepare(request, silent)
    assert [(entry.name, entry.was_done) for entry in results] == [
        ("train-clean-100", True),
        ("dev-clean", False),
    ]


def test_a_copy_that_was_incomplete_is_read_again(tmp_path: Path) -> None:
    request = replace(complete_librispeech(tmp_path), allows_incomplete=True)
    path = tmp_path / "LibriSpeech/dev-clean/20/198/20-198-0001.flac"
    path.rename(tmp_path / "elsewhere.flac")
    assert [entry.num_utterances for entry in prepare(request, silent)] == [4, 3]
    (tmp_path / "elsewhere.flac").rename(path)
    results = prepare(request, silent)
    assert [(entry.num_utterances, entry.was_done) for entry in results] == [(4, True), (4, False)]


def test_recordings_that_are_cut_short_are_noticed(tmp_path: Path) -> None:
    request = complete_librispeech(tmp_path)
    splits = tuple(replace(split, hours=0.1) for split in request.corpus.splits)
    request = replace(request, corpus=replace(request.corpus, splits=splits))
    result = prepare(request, silent)[0]
    assert result.lacks == (
        "train-clean-100: 0.1 hours expected, 0.0 found: recordings are cut short: "
        "download them again",
    )
    assert not result.is_written


def test_more_than_the_official_corpus_is_only_noted(tmp_path: Path) -> None:
    request = complete_librispeech(tmp_path)
    splits = tuple(replace(split, num_utterances=3) for split in request.corpus.splits)
    result = prepare(replace(request, corpus=replace(request.corpus, splits=splits)), silent)[0]
    assert result.notes == ("train-clean-100: 3 utterances expected, 4 found: another release?",)
    assert result.is_written


def test_manifests_of_two_corpora_do_not_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.an4(tmp_path)
    layouts.tedlium(tmp_path)
    prepared("an4", tmp_path)
    capsys.readouterr()
    assert run("tedlium", tmp_path, "--allow-incomplete") == 2
    assert capsys.readouterr().err == (
        f"ds2: {tmp_path}: holds manifests of an4: name another directory with -o\n"
    )
    assert run("tedlium", tmp_path, "--allow-incomplete", "-o", tmp_path / "ted") == 0
    (first, *_) = read_manifest(tmp_path / "ted" / "train.jsonl")
    assert first.audio_path.is_file()


def test_a_manifest_that_was_there_before_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.an4(tmp_path)
    (tmp_path / "train.jsonl").write_text("mine\n")
    assert run("an4", tmp_path, "--allow-incomplete") == 2
    assert "ds2 corpus prepare did not make it" in capsys.readouterr().err
    assert (tmp_path / "train.jsonl").read_text() == "mine\n"


def test_the_record_can_be_read_by_people(tmp_path: Path) -> None:
    layouts.an4(tmp_path)
    prepared("an4", tmp_path)
    record = json.loads((tmp_path / "prepare.json").read_text())
    assert record["corpus"] == "an4"
    assert record["splits"]["train"]["utterances"] == 2
    assert record["splits"]["train"]["complete"] is False
    (tmp_path / "prepare.json").write_text("[]")
    with pytest.raises(InputError, match=re.escape("is not a record of ds2 corpus prepare")):
        prepare(Request(corpus_named("an4"), tmp_path), silent)


def test_a_result_says_where_its_manifest_is(tmp_path: Path) -> None:
    (first, *_) = prepare(complete_librispeech(tmp_path), silent)
    assert first == Prepared(
        "train-clean-100", tmp_path / "train-clean-100.jsonl", 4, first.hours, 2
    )


# Broken copies


def lose_chapter_text(directory: Path) -> None:
    layouts.librispeech(directory)
    (directory / "LibriSpeech/dev-clean/20/198/20-198.trans.txt").unlink()


def spoil_chapter_text(directory: Path) -> None:
    root = layouts.librispeech(directory, ["dev-clean"])
    layouts.write_text(root / "dev-clean/19/198/19-198.trans.txt", "19-198-0000")


def lose_aishell_texts(directory: Path) -> None:
    root = layouts.aishell(directory)
    (root / "transcript" / "aishell_transcript_v0.8.txt").unlink()


def lose_aishell_test(directory: Path) -> None:
    shutil.rmtree(layouts.aishell(directory) / "wav" / "test")


def leave_aishell_packed(directory: Path) -> None:
    archive = directory / "data_aishell.tgz"
    layouts.packed_aishell(directory, archive)
    unpack(archive, silent)
    (directory / "data_aishell" / "wav" / "S0002.tar.gz").rename(
        directory / "data_aishell" / "wav" / "S0001.tar.gz"
    )


def leave_packed(directory: Path) -> None:
    layouts.packed(layouts.aishell(directory), directory / "data_aishell.tgz")


def lose_talk(directory: Path) -> None:
    root = layouts.tedlium(directory)
    (root / "legacy/dev/sph/Speaker1_2010.sph").unlink()


def spoil_metadata(directory: Path) -> None:
    layouts.write_text(layouts.ljspeech(directory) / "metadata.csv", "LJ001-0001|Half")


def lose_vctk_recording(directory: Path) -> None:
    root = layouts.vctk(directory)
    (root / "wav48_silence_trimmed/p225/p225_001_mic2.flac").unlink()


def lose_clips(directory: Path) -> None:
    shutil.rmtree(layouts.common_voice(directory) / "clips")


def cut_list(directory: Path) -> None:
    path = layouts.common_voice(directory) / "train.tsv"
    path.write_text(path.read_text()[:-60])


def lose_an4_text(directory: Path) -> None:
    path = layouts.an4(directory) / "etc" / "an4_train.transcription"
    path.write_text(path.read_text().splitlines()[0] + "\n")


def lose_columns(directory: Path) -> None:
    root = layouts.common_voice(directory)
    layouts.write_text(root / "train.tsv", "a\tb", "1\t2")


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no texts of a chapter": (
        "librispeech",
        lose_chapter_text,
        "DIR/LibriSpeech/dev-clean/20/198: has recordings but no .trans.txt (1 such directories)"
        ": the copy is incomplete: download it again",
    ),
    "a line without text": (
        "librispeech",
        spoil_chapter_text,
        "DIR/LibriSpeech/dev-clean/19/198/19-198.trans.txt:1: is not of the form NAME TEXT: the "
        "file is damaged",
    ),
    "no transcript": (
        "aishell",
        lose_aishell_texts,
        "DIR/data_aishell/transcript/aishell_transcript_v0.8.txt: is missing: the copy of "
        "aishell is incomplete",
    ),
    "a split is missing": (
        "aishell",
        lose_aishell_test,
        "DIR/data_aishell/wav/test: is missing: the copy of aishell lacks test, and ds2 can only "
        "read it as a whole",
    ),
    "speakers are packed": (
        "aishell",
        leave_aishell_packed,
        "DIR: holds no copy of aishell: DIR/data_aishell/wav/S0001.tar.gz is not unpacked (3 such "
        "files): unpack each where it lies",
    ),
    "everything is packed": (
        "aishell",
        leave_packed,
        "DIR: holds no copy of aishell: data_aishell.tgz is not unpacked: unpack it, or "
        "add --download",
    ),
    "an empty directory": (
        "librispeech",
        lambda directory: directory.mkdir(exist_ok=True),
        "DIR: holds no copy of librispeech: the directory is empty: --download gets it",
    ),
    "another corpus": (
        "librispeech",
        layouts.an4,
        "DIR: holds no copy of librispeech: looked for train-clean-100, train-clean-360, "
        "train-other-500; for your own recordings use `ds2 corpus import`",
    ),
    "no directory": (
        "librispeech",
        lambda directory: directory.rmdir(),
        "DIR: is not a directory with a copy of librispeech; --download gets it",
    ),
    "a talk is missing": (
        "tedlium",
        lose_talk,
        "dev: 1 talks have no .sph file (first: DIR/TEDLIUM_release-3/legacy/dev/sph/"
        "Speaker1_2010.sph): download them, or move their .stm files away and use "
        "--allow-incomplete",
    ),
    "half a line": (
        "ljspeech",
        spoil_metadata,
        "DIR/LJSpeech-1.1/metadata.csv:1: is not of the form NAME|TEXT|TEXT: the file is damaged",
    ),
    "a text without recording": (
        "vctk",
        lose_vctk_recording,
        "DIR/VCTK-Corpus-0.92: 1 texts have no recording (first: p225_001): download them, or move "
        "their texts away and use --allow-incomplete",
    ),
    "no clips": (
        "common-voice",
        lose_clips,
        "DIR/cv-corpus-17.0-2024-03-15/en/clips: is missing: the copy is incomplete",
    ),
    "a list that is cut off": (
        "common-voice",
        cut_list,
        "DIR/cv-corpus-17.0-2024-03-15/en/train.tsv:3: has 4 of 13 columns: the file is cut off",
    ),
    "a list of something else": (
        "common-voice",
        lose_columns,
        "DIR/cv-corpus-17.0-2024-03-15/en/train.tsv:1: has no column client_id, only a, b: "
        "name a list of Common Voice",
    ),
    "a text is missing": (
        "an4",
        lose_an4_text,
        "DIR/an4/etc/an4_train.transcription: has no line for an252-fash-b, which "
        "an4_train.fileids lists: the copy is incomplete",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_copy_gets_one_line_and_no_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    name, spoil, message = BROKEN[case]
    spoil(tmp_path)
    output = tmp_path.with_name(f"{tmp_path.name}-manifests")
    arguments = ["--split", "dev-clean"] if case.startswith("no texts") else []
    assert run(name, tmp_path, "-o", output, *arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"ds2: {message}".replace(
        "DIR", str(tmp_path)
    )
    assert not list(output.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["librispech", "x"], "librispech: no such corpus: did you mean librispeech?; "),
        (["wenetspeech", "x"], "wenetspeech: no such corpus: did you mean wenet-speech?; "),
        (["librispeech"], "NAME, DIR: name a corpus and a directory"),
        (["an4", ".", "--split", "dev"], "--split dev: an4 has train, test"),
        (["an4", ".", "--option", "x=1"], "--option: ds2 reads an4 without lhotse"),
        (["an4", ".", "--language", "en"], "--language en: an4 has only one: leave it out"),
        (["an4", ".", "--option", "x"], "--option x: it must be KEY=VALUE"),
        (["common-voice", "x", "--download"], "--download: ds2 cannot download common-voice: "),
        (["gigaspeech", "x", "--download"], "--download: ds2 cannot download gigaspeech: "),
        (
            ["broadcast-news", "."],
            "broadcast_news: lhotse's preparer also needs transcripts_dir",
        ),
    ],
    ids=str,
)
def test_a_wrong_command_gets_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert capsys.readouterr().err.startswith(f"ds2: {message}")


def test_without_lhotse_the_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.ljspeech(tmp_path)
    monkeypatch.setitem(sys.modules, "lhotse", None)
    monkeypatch.setitem(sys.modules, "lhotse.recipes", None)
    assert run("ljspeech", tmp_path) == 2
    assert capsys.readouterr().err.endswith(f"{install_command('corpora')}\n")
    assert run("ljspeach", tmp_path) == 2
    assert "no such corpus: did you mean ljspeech?" in capsys.readouterr().err
    assert run("--list") == 0
    captured = capsys.readouterr()
    assert "ljspeech" in captured.out
    assert install_command("corpora") in captured.err
    layouts.an4(tmp_path / "an4")
    assert run("an4", tmp_path / "an4", "--allow-incomplete") == 0
