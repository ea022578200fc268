"""Speech from text with engines of the tests: voices, kept clips, messages."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ds2.audio import probe_audio, read_audio
from ds2.cli import main
from ds2.manifest import Utterance, read_manifest, write_manifest
from ds2.synthesis.engine import Engine, find_engine
from ds2.synthesis.espeak import pitch_setting
from ds2.synthesis.speech import Job, SpeechRules, jobs_of, speak_all

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="no espeak-ng here")

TONES = """
import struct, sys, wave, math
text, output, hertz = sys.argv[1], sys.argv[2], float(sys.argv[3])
if "fail" in text:
    sys.exit("cannot say that")
with wave.open(output, "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
    for index in range(800 * len(text)):
        value = 0 if "hush" in text else 8000 * math.sin(2 * math.pi * hertz * index / 8000)
        file.writeframes(struct.pack("<h", round(value)))
"""

MODULE = """
import numpy as np

class Tones:
    name = "tones"
    varies = ("speed",)

    def voices(self):
        return ["low", "high"]

    def speak(self, text, voice, *, speed, pitch, seed):
        if "boom" in text:
            raise RuntimeError("out of\\nmemory")
        times_s = np.arange(round(2400 * len(text) / speed)) / 24000
        return np.sin(2 * np.pi * {"low": 200, "high": 400}[voice] * times_s), 24000

class Half:
    name = "half"

def broken():
    raise OSError("no model file")

number = 3
"""


class Tones:
    """An engine with a tone for each voice, a second for ten letters; it counts its calls."""

    name = "tones"
    varies = ("speed", "pitch")

    def __init__(self) -> None:
        self.num_spoken = 0

    def voices(self) -> list[str]:
        return [f"v{number}" for number in range(7)]

    def speak(
        self, text: str, voice: str, *, speed: float, pitch: float, seed: int
    ) -> tuple[NDArray[Any], int]:
        self.num_spoken += 1
        times_s = np.arange(round(1600 * len(text) / speed)) / 16000
        noise = np.random.default_rng(seed).standard_normal(len(times_s))
        hertz = 100 * pitch * (1 + int(voice[1:]))
        return 0.3 * np.sin(2 * np.pi * hertz * times_s) + 0.01 * noise, 16000


def rules(**changes: Any) -> SpeechRules:
    voices = tuple(Tones().voices())
    return SpeechRules("tones", voices, (0.9, 1.1), (0.8, 1.25), **changes)


def lines(*texts: str) -> list[Utterance]:
    return [
        Utterance(Path("/t.txt"), text=text, language="en", source_file=Path("t.txt"), line=number)
        for number, text in enumerate(texts, 1)
    ]


def manner(job: Job) -> tuple[str, float, float, int]:
    return job.voice, job.speed, job.pitch, job.seed


@pytest.fixture
def tones_command(tmp_path: Path) -> str:
    script = tmp_path / "tones.py"
    script.write_text(TONES)
    program = shlex.join([sys.executable, str(script)])
    return f"command:{program} {{text}} {{output}} {{voice}}"


@given(st.lists(st.text("abc ", min_size=1), unique=True), st.integers(0, 5))
@settings(deadline=None)
def test_how_a_line_is_said_depends_on_the_seed_and_on_its_text_alone(
    texts: list[str], seed: int
) -> None:
    together = {job.line.text: manner(job) for job in jobs_of(lines(*texts), rules(seed=seed))}
    backwards = jobs_of(lines(*texts[::-1]), rules(seed=seed))
    assert together == {job.line.text: manner(job) for job in backwards}
    for text in texts:
        (alone,) = jobs_of(lines(text), rules(seed=seed))
        assert manner(alone) == together[text]


def test_all_voices_speak_about_equally_often_within_the_ranges() -> None:
    jobs = jobs_of(lines(*(f"text {number}" for number in range(700))), rules())
    counts = {voice: sum(job.voice == voice for job in jobs) for voice in Tones().voices()}
    assert min(counts.values()) > 70
    assert all(0.9 <= job.speed <= 1.1 and 0.8 <= job.pitch <= 1.25 for job in jobs)
    assert 340 < sum(job.pitch < 1 for job in jobs) < 360 + 40
    others = jobs_of([job.line for job in jobs], rules(seed=1))
    assert sum(manner(a) == manner(b) for a, b in zip(jobs, others, strict=True)) == 0


def test_takes_of_a_text_have_voices_of_their_own() -> None:
    jobs = jobs_of(lines("hello"), rules(takes=7))
    assert {job.voice for job in jobs} == set(Tones().voices())
    twice = jobs_of(lines("hello", "hello"), rules())
    assert [manner(job) for job in twice] == [manner(job) for job in jobs[:2]]


def test_clips_that_are_there_are_kept_and_damaged_ones_made_again(tmp_path: Path) -> None:
    jobs = jobs_of(lines("one", "two", "three"), rules())
    first, engine = Tones(), Tones()
    spoken = speak_all(jobs, first, rules(), tmp_path)
    assert first.num_spoken == 3
    paths = [each.utterance.audio_path for each in spoken if each.utterance]
    contents = [path.read_bytes() for path in paths]
    paths[1].write_bytes(contents[1][:20])
    again = speak_all(jobs, engine, rules(), tmp_path, num_threads=2)
    assert engine.num_spoken == 1
    assert [each.was_there for each in again] == [True, False, True]
    assert [each.utterance for each in again] == [each.utterance for each in spoken]
    assert [path.read_bytes() for path in paths] == contents


@pytest.mark.parametrize("audio_format", ["flac", "opus", "wav"])
def test_clips_are_16_khz_in_the_asked_format(tmp_path: Path, audio_format: Any) -> None:
    settled = rules(audio_format=audio_format)
    (spoken,) = speak_all(jobs_of(lines("a text"), settled), Tones(), settled, tmp_path)
    assert spoken.utterance is not None
    path = spoken.utterance.audio_path
    assert path.suffix == f".{audio_format}"
    assert probe_audio(path).num_channels == 1
    duration_s = spoken.utterance.duration_s or 0
    assert 0.5 < duration_s < 0.7
    assert len(read_audio(path)) == pytest.approx(16000 * duration_s, abs=400)


def test_any_program_can_be_the_engine(
    tmp_path: Path, tones_command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.txt").write_text("It's 5 o'clock; \"{output}\"\n\nfail me\nhush\nwell\n!!\n")
    command = ["corpus", "synthesise", str(tmp_path / "t.txt"), "--engine", tones_command]
    command += ["--voices", "220,330", "-o", str(tmp_path / "out"), "--jobs", "2"]
    assert main(command) == 2
    captured = capsys.readouterr()
    assert "2 utterances, 0.00 hours" in captured.out
    assert f"{tmp_path}/t.txt:3: python" in captured.err
    assert "failed with exit status 1: cannot say that" in captured.err
    assert "t.txt:4: " in captured.err
    assert "returns silence" in captured.err
    assert "t.txt:6: the text has nothing to speak" in captured.err
    first, second = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert first.text is not None
    assert first.text.startswith("it's five o'clock")
    assert second.text == "well"
    assert second.duration_s == pytest.approx(0.4)
    assert second.language == "en"
    program = Path(sys.executable).name
    assert second.extra["voice"] in ("220", "330")
    assert second.speaker == f"{program}_{second.extra['voice']}"
    extra = {"synthetic": True, "engine": program, "voice": second.extra["voice"], "seed": 0}
    assert second.extra == extra
    waveform = read_audio(second.audio_path)
    loudest = np.argmax(np.abs(np.fft.rfft(waveform))) / (len(waveform) / 16000)
    assert loudest == pytest.approx(float(str(second.extra["voice"])), abs=3)


def test_a_program_can_read_the_text_and_print_the_recording(tmp_path: Path) -> None:
    script = tmp_path / "printing.py"
    script.write_text(
        "import io, sys, wave\n"
        "text, file = sys.stdin.read().strip(), io.BytesIO()\n"
        "with wave.open(file, 'wb') as out:\n"
        "    out.setnchannels(1), out.setsampwidth(2), out.setframerate(16000)\n"
        "    out.writeframes(b'\\0\\x20' * 160 * len(text))\n"
        "sys.stdout.buffer.write(file.getvalue())\n"
    )
    engine = find_engine(f"command:{shlex.join([sys.executable, str(script)])}")
    assert engine.voices() == ["default"]
    assert not engine.varies
    waveform, rate = engine.speak("-seven-", "default", speed=1, pitch=1, seed=0)
    assert (len(waveform), rate) == (7 * 160, 16000)


@pytest.mark.parametrize("spec", ["tones_engine:Tones", "tones_engine.py:Tones"])
def test_python_code_can_be_the_engine(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "tones_engine", raising=False)
    Path("tones_engine.py").write_text(MODULE)
    write_manifest("texts.jsonl", [Utterance(tmp_path / "a.wav", 1.0, text) for text in ("A", "b")])
    command = ["corpus", "synthesise", "--engine", spec]
    assert main([*command, "--list-voices"]) == 0
    assert capsys.readouterr().out == "high\nlow\n"
    assert main([*command, "texts.jsonl", "--voices", "*", "-o", "out", "--takes", "2"]) == 0
    utterances = read_manifest("out/manifest.jsonl")
    assert [utterance.text for utterance in utterances] == ["a", "a", "b", "b"]
    assert {u.speaker for u in utterances[:2]} == {"tones_low", "tones_high"}
    assert all("pitch" not in u.extra and 0.9 <= u.extra["speed"] <= 1.1 for u in utterances)
    Path("t.txt").write_text("boom\nfine\n")
    assert main([*command, "t.txt", "--voices", "low", "-o", "out"]) == 2
    reason = "t.txt:1: tones, voice low: RuntimeError: out of memory"
    assert capsys.readouterr().err == f"ds2: {reason}\n"


def test_raw_text_is_said_and_written_as_it_stands(tmp_path: Path, tones_command: str) -> None:
    (tmp_path / "t.txt").write_text("--Hello, World!\n")
    command = ["corpus", "synthesise", str(tmp_path / "t.txt"), "--engine", tones_command]
    command += ["--voices", "220", "-o", str(tmp_path / "out"), "--raw-text"]
    assert main(command) == 0
    (utterance,) = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert utterance.text == "--Hello, World!"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--engine", "festival"],
            "--engine festival: unknown engine: give espeak-ng, 'command:PROGRAM",
        ),
        (["--engine", "no_such:X"], "--engine no_such:X: cannot be imported: ModuleNotFoundError"),
        (["--engine", "no.py:X"], "--engine no.py:X: there is no file no.py"),
        (["--engine", "mine.py:X"], "--engine mine.py:X: the module has no class or function X"),
        (["--engine", "mine.py:number"], "--engine mine.py:number: the module has no class or"),
        (["--engine", "mine.py:broken"], "--engine mine.py:broken: broken() fails: OSError: no"),
        (
            ["--engine", "mine.py:Half"],
            "--engine mine.py:Half: is not an engine: it has no varies and no voices and no speak",
        ),
        (["--engine", "command:"], "--engine command:: name a program, such as: command:flite"),
        (["--engine", "command:no-such-program"], "no-such-program is not installed: install it"),
        (
            ["--engine", "command:ls {txet}"],
            "--engine command:ls {txet}: {txet} is unknown: use only {text}",
        ),
        (["--engine", "command:ls 'a"], "--engine command:ls 'a: no closing quotation"),
        (["--engine", "command:ls {voice}"], "--voices: choose from the voices of ls, such as"),
        (
            ["--engine", "mine.py:Tones"],
            "--voices: choose from the 2 voices of tones, such as low",
        ),
        (
            ["--engine", "mine.py:Tones", "--voices", "tenor"],
            "--voices tenor: tones has no such voice; --list-voices shows all",
        ),
        (
            ["--engine", "mine.py:Tones", "--voices", "*", "--pitch", "1:2"],
            "--pitch 1:2: tones cannot vary the pitch",
        ),
        (
            ["--engine", "mine.py:Tones", "--voices", "*", "--speed", "fast"],
            "--speed fast: it must be two numbers, such as 0.9:1.1",
        ),
        (
            ["--engine", "mine.py:Tones", "--voices", "*", "--speed", "2:1"],
            "--speed: 2:1: give the lower value first, both from 0.25 to 4",
        ),
        (["--engine", "command:false {text}"], "t.txt:1: false, voice default: false failed with"),
        (["--engine", "command:true {text}"], "t.txt:1: true, voice default: true wrote no"),
        (["--engine", "command:echo {text}"], "t.txt:1: echo, voice default: echo: its recording"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("t.txt").write_text("hello\n")
    Path("mine.py").write_text(MODULE)
    assert main(["corpus", "synthesise", "t.txt", "-o", "out", *arguments]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith(f"ds2: {message}")
    assert captured.count("\n") == 1
    assert not Path("out/manifest.jsonl").exists()


def test_a_missing_espeak_is_told_with_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["corpus", "synthesise", "--engine", "espeak-ng", "--list-voices"]) == 2
    told = "ds2: espeak-ng is not installed: apt install espeak-ng (Debian, Ubuntu), brew install"
    assert capsys.readouterr().err.startswith(told)


def test_pitches_are_settings_of_espeak() -> None:
    assert [pitch_setting(pitch) for pitch in (0.25, 0.9, 1.0, 1.1, 4.0)] == [0, 39, 50, 60, 99]


@needs_espeak
def test_espeak_speaks_faster_and_higher_and_the_same_each_time(tmp_path: Path) -> None:
    engine: Engine = find_engine("espeak-ng")
    assert {"en-us", "en-us+f2", "cmn"} <= set(engine.voices())
    text = "we have been here [[before"
    slow, rate = engine.speak(text, "en-us", speed=0.8, pitch=1.0, seed=0)
    fast, _ = engine.speak(text, "en-us", speed=1.25, pitch=1.0, seed=0)
    assert rate == 16000
    assert len(fast) < 0.85 * len(slow)
    settled = SpeechRules("espeak-ng", ("en-us+f2", "en-gb"), (0.9, 1.1), (0.9, 1.1))
    jobs = jobs_of(lines("good morning", "and good night"), settled)
    found = [speak_all(jobs, engine, settled, tmp_path / name) for name in "ab"]
    for first, second in zip(*found, strict=True):
        assert first.utterance is not None
        assert second.utterance is not None
        assert np.array_equal(
            read_audio(first.utterance.audio_path), read_audio(second.utterance.audio_path)
        )
        assert first.utterance.extra["synthetic"] is True


@needs_espeak
def test_espeak_speaks_mandarin(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("今天有30个人。\n", encoding="utf-8")
    command = ["corpus", "synthesise", str(tmp_path / "t.txt"), "--engine", "espeak-ng"]
    assert main([*command, "--voices", "cmn", "-o", str(tmp_path / "out")]) == 0
    (line,) = (tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert (found["text"], found["language"]) == ("今天有三十个人", "zh")
    assert found["duration"] > 0.8


def test_the_documented_engine_works_with_a_package_of_that_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "synthesis.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "kokoro_engine.py").write_text(code)
    (tmp_path / "kokoro_onnx.py").write_text(
        "import numpy as np\n"
        "class Kokoro:\n"
        "    def __init__(self, model_path, voices_path): pass\n"
        "    def get_voices(self): return ['af_sky', 'bm_george']\n"
        "    def create(self, text, voice, speed=1.0, lang='en-us'):\n"
        "        assert lang == ('en-gb' if voice == 'bm_george' else 'en-us')\n"
        "        return np.full(round(2400 * len(text) / speed), 0.2, np.float32), 24000\n"
    )
    (tmp_path / "t.txt").write_text("one\ntwo\nthree\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["corpus", "synthesise", "t.txt", "--engine", "kokoro_engine.py:Kokoro"]
    assert main([*command, "--voices", "af_*,bm_*", "-o", "out"]) == 0
    assert [line.text for line in read_manifest("out/manifest.jsonl")] == ["one", "two", "three"]
