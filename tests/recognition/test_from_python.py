"""The recogniser for programs: samples of any kind, phrases as texts, segments at once."""

import inspect
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import ds2
from ds2 import HotPhrase, InputError, Recognizer, read_audio
from ds2.audio import write_wav
from ds2.ctc.phrases import hot_phrases
from ds2.recognition.aligner import Aligner
from ds2.transcripts.transcript import Segment

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "en"
CLIP = ROOT / "samples" / "en-1.ogg"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(MODEL, greedy=True)


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return read_audio(CLIP)


def test_a_path_is_as_good_as_load(recognizer: Recognizer) -> None:
    assert recognizer.bundle.path == MODEL
    assert Recognizer(str(MODEL), greedy=True).bundle == recognizer.bundle
    with pytest.raises(InputError, match="nowhere"):
        Recognizer("nowhere")


def test_load_names_its_options() -> None:
    loaded = inspect.signature(Recognizer.load).parameters
    made = inspect.signature(Recognizer.__init__).parameters
    assert list(loaded) == [name for name in made if name != "self"]
    assert all(option.annotation is not inspect.Parameter.empty for option in loaded.values())
    for name in loaded:
        assert name in (Recognizer.load.__doc__ or "")


def test_the_face_shows_what_there_is() -> None:
    assert set(ds2.__all__) <= set(dir(ds2))


def test_samples_of_any_kind_give_the_same_text(
    recognizer: Recognizer, waveform: np.ndarray
) -> None:
    expected = recognizer.transcribe(CLIP)
    assert expected.text
    stereo = np.stack([waveform, waveform], axis=1)
    for samples in (waveform, stereo, waveform.astype(np.float64), waveform.tolist()):
        assert recognizer.transcribe(samples) == expected
    for _, transcript in recognizer.transcribe_many([stereo, CLIP, bytearray(CLIP.read_bytes())]):
        assert transcript.text == expected.text  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def stereo(waveform: np.ndarray) -> np.ndarray:
    """The clip as a sound card gives it: (N, 2) int16 at 44.1 kHz."""
    faster = soxr.resample(waveform, 16_000, 44_100)
    return (np.stack([faster, faster / 2], axis=1) * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def recording(stereo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a file."""
    path = tmp_path_factory.mktemp("recording") / "stereo.wav"
    soundfile.write(path, stereo, 44_100)
    return path


def test_samples_at_another_rate_say_so(
    recognizer: Recognizer, stereo: np.ndarray, recording: Path
) -> None:
    expected = recognizer.transcribe(recording)
    assert recognizer.transcribe(stereo, sample_rate=44_100) == expected
    ((_, found),) = recognizer.transcribe_many([stereo], sample_rate=44_100)
    assert found.text == expected.text  # type: ignore[union-attr]
    log_probs = recognizer.log_probs(stereo, sample_rate=44_100)
    assert log_probs.shape == recognizer.log_probs(read_audio(recording)).shape
    with pytest.raises(InputError, match="sample_rate: is for samples in memory"):
        recognizer.transcribe(recording, sample_rate=44_100)


@pytest.mark.parametrize("size", [441, 5_000, 10**6])
def test_a_stream_takes_what_a_sound_card_gives(
    recognizer: Recognizer, stereo: np.ndarray, recording: Path, size: int
) -> None:
    stream = recognizer.stream(sample_rate=44_100)
    for start in range(0, len(stereo), size):
        stream.feed(stereo[start : start + size])
    transcript = stream.finish()
    assert transcript.text == recognizer.transcribe(recording).text
    assert stream.finish() == transcript


def test_what_is_no_sound_is_refused(recognizer: Recognizer) -> None:
    with pytest.raises(InputError, match=r"give samples\.T"):
        recognizer.transcribe(np.zeros((2, 16_000), np.float32))
    with pytest.raises(InputError, match="full scale"):
        recognizer.stream().feed([1, 2, 3])


def test_samples_can_be_aligned(stereo: np.ndarray, recording: Path) -> None:
    aligner = Aligner.load(MODEL)
    text = "could you please call me back tomorrow morning before nine"
    assert aligner.align(stereo, text, sample_rate=44_100) == aligner.align(recording, text)


def test_phrases_are_texts_or_pairs() -> None:
    assert hot_phrases(["morning", ("New York", 8), HotPhrase("nine", 2.0)]) == (
        HotPhrase("morning"),
        HotPhrase("New York", 8.0),
        HotPhrase("nine", 2.0),
    )
    with pytest.raises(InputError, match=r'are a list: write \["morning"\]'):
        hot_phrases("morning")
    for wrong in (3, ("a", "b"), (1, "a"), ("a", float("nan")), ("a", 1, 2)):
        with pytest.raises(InputError, match="hot phrase"):
            hot_phrases([wrong])  # type: ignore[list-item]


def test_phrases_as_texts_are_heard() -> None:
    plain = Recognizer.load(MODEL, lm=False, phrases=["morning"], num_alternatives=1)
    pair = Recognizer.load(MODEL, lm=False, phrases=[("morning", 5)], num_alternatives=1)
    assert plain.transcribe(CLIP) == pair.transcribe(CLIP)
    assert "morning" in Recognizer.load(MODEL, phrases=[("morning", 30)]).transcribe(CLIP).text


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"greedy": True}, {}], ids=["greedy", "search"])
def test_segments_come_as_they_are_certain_and_are_those_of_the_whole(
    options: dict[str, bool], waveform: np.ndarray, tmp_path: Path
) -> None:
    pause = np.zeros(24_000, np.float32)
    long = np.concatenate([waveform, pause] * 4)
    recognizer = Recognizer.load(MODEL, **options)  # type: ignore[arg-type]
    told: list[Segment] = []
    num_told_before_the_end: list[int] = []

    class Watched(io.BytesIO):
        """A file that records the number of segments at the read of its last bytes."""

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if self.tell() == len(self.getvalue()):
                num_told_before_the_end.append(len(told))
            return data

        def seekable(self) -> bool:
            return False

    path = tmp_path / "long.wav"
    write_wav(path, long)
    transcript = recognizer.transcribe(Watched(path.read_bytes()), on_segment=told.append)
    assert told == transcript.segments()
    assert len(told) > 3
    assert num_told_before_the_end[0] > 0
    assert transcript.words == recognizer.transcribe(path).words
