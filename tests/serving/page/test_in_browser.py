"""The web page in a real Chromium: words from files, and from a WAV file as microphone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect

from aids.browsing import (
    LONG_MS,
    ROOT,
    TWO_WORDS,
    OpenPage,
    Sent,
    likeness,
    listen_for,
    open_file,
    saved,
    stop,
    under_way,
    words_of,
)
from ds2.audio import SAMPLE_RATE_HZ, Resampler, Waveform, read_audio, write_wav
from ds2.recognition.recognizer import Recognizer
from ds2.transcripts.transcript import WRITERS, LineShape, Transcript, Word

pytest_plugins = ["aids.browser_fixtures"]
pytestmark = pytest.mark.slow
NARROWEST_PX = 320  # WCAG 2.2 requires this width (reflow)


@pytest.fixture(scope="module")
def empty_page(browser: Browser, at: str) -> Iterator[Page]:
    """The page for tests of its single modules."""
    page = browser.new_page()
    page.goto(at)
    yield page
    page.close()


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words, some close together and some far apart."""
    language = draw(st.sampled_from(["en", "zh"]))
    texts = ["a", "it's", "word"] if language == "en" else ["你", "好", "ok", "gpu"]
    words, now_ms = [], 0
    for _ in range(draw(st.integers(1, 40))):
        start_ms = now_ms + draw(st.sampled_from([0, 70, 799, 800, 801, 5000, 3_600_000]))
        now_ms = start_ms + draw(st.integers(1, 2000))
        confidence = draw(st.integers(0, 10_000)) / 10_000
        text = draw(st.sampled_from(texts))
        words.append(Word(text, start_ms / 1000, now_ms / 1000, confidence))
    return Transcript(tuple(words), now_ms / 1000, language)


@given(transcripts())
@settings(deadline=None, max_examples=60)
def test_files_are_what_transcribe_writes(empty_page: Page, transcript: Transcript) -> None:
    words = [
        {
            "text": word.text,
            "start": word.start_s,
            "end": word.end_s,
            "confidence": word.confidence,
            "language": transcript.language,
        }
        for word in transcript.words
    ]
    written = empty_page.evaluate(
        """async ([words, duration]) => {
            const { Transcript, WRITERS } = await import("/page/transcript.js");
            const transcript = Object.assign(new Transcript(), { words, duration });
            const write = ([extension, writer]) => [extension, writer.write(transcript)];
            return Object.fromEntries(Object.entries(WRITERS).map(write));
        }""",
        [words, transcript.duration_s],
    )
    assert written["txt"] == WRITERS["txt"](transcript, LineShape())
    assert written["srt"] == WRITERS["srt"](transcript, LineShape())
    assert_same_json(written["json"], transcript)


@pytest.mark.parametrize("num_samples", [320, 512, 960])
def test_spectra_are_those_of_numpy(empty_page: Page, num_samples: int) -> None:
    signal = np.random.default_rng(0).normal(size=num_samples)
    size = 1 << (num_samples - 1).bit_length()
    power = empty_page.evaluate(
        """async ([signal, size]) => {
            const { Fourier } = await import("/page/fourier.js");
            return [...new Fourier(size).power(signal)];
        }""",
        [signal.tolist(), size],
    )
    np.testing.assert_allclose(power, np.abs(np.fft.rfft(signal, size)) ** 2, rtol=1e-9)


def test_spoken_words_come_as_they_are_transcribed(
    open_page: OpenPage, english: Recognizer, spoken: Waveform
) -> None:
    page = open_page()
    sent = Sent(page)
    listen_for(page, sent, len(spoken) / SAMPLE_RATE_HZ)
    heard = sent.waveform()
    transcript = english.transcribe(heard)
    assert likeness(heard, spoken) > 0.9  # it is the sentence, without distortion
    assert words_of(page) == [word.text for word in transcript.words]
    assert_same_json(saved(page, "json"), transcript)
    latency = re.compile(r"^Latency \d+ ms \+ 490 ms context$")
    expect(page.locator("#latency")).to_have_text(latency)


def test_where_the_browser_will_not_resample_the_server_does(
    open_page: OpenPage, english: Recognizer
) -> None:
    # As Firefox does: it connects a microphone only to a context of the microphone's own rate.
    page = open_page()
    page.evaluate(
        """() => {
            const connect = AudioContext.prototype.createMediaStreamSource;
            AudioContext.prototype.createMediaStreamSource = function (sound) {
                if (this.sampleRate === 16000) throw new DOMException("", "NotSupportedError");
                return connect.call(this, sound);
            };
        }"""
    )
    sent = Sent(page)
    listen_for(page, sent, 2)
    rate_hz = sent.rate_hz
    assert rate_hz in (44_100, 48_000)
    resampler = Resampler(rate_hz)
    heard = np.concatenate([resampler.feed(sent.waveform()), resampler.finish()])
    words = english.transcribe(np.clip(heard, -1, 1)).words
    assert words_of(page) == [word.text for word in words]


def test_a_file_gives_the_words_and_files_of_transcribe(
    open_page: OpenPage, english: Recognizer, tmp_path: Path
) -> None:
    samples = [read_audio(ROOT / "samples" / f"en-{number}.ogg") for number in (1, 2)]
    pause = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    path = tmp_path / "two sentences.wav"
    write_wav(path, np.concatenate([samples[0], pause, samples[1]]))
    transcript = english.transcribe(path)
    page = open_page()
    open_file(page, path)
    assert words_of(page) == [word.text for word in transcript.words]
    assert_same_json(saved(page, "json"), transcript)
    for extension in ("txt", "srt"):
        assert saved(page, extension) == WRITERS[extension](transcript, LineShape())
    assert page.locator("#final p").count() == 2  # the server ended a segment in the pause
    drawn = page.evaluate(
        """() => {
            const { width, height } = document.querySelector("canvas");
            const context = document.querySelector("canvas").getContext("2d");
            const { data } = context.getImageData(0, 0, width, height);
            return data.filter((level, index) => index % 4 === 3 && level > 128).length;
        }"""
    )
    assert drawn > 1000  # pixels of the spectrogram


def test_takes_follow_one_another_until_cleared(open_page: OpenPage) -> None:
    page = open_page()
    paths = [ROOT / "samples" / f"en-{number}.ogg" for number in (1, 2)]
    page.set_input_files("input[type=file]", paths)
    expect(page.get_by_role("status")).to_have_text("en-2.ogg is done.", timeout=LONG_MS)
    transcript = json.loads(saved(page, "json"))
    words = [word for segment in transcript["segments"] for word in segment["words"]]
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    assert transcript["duration"] > 7
    page.get_by_role("button", name="Clear").click()
    assert words_of(page) == []
    expect(page.get_by_role("button", name="Save as txt")).to_be_disabled()
    expect(page.get_by_role("button", name="Listen")).to_be_focused()


def test_a_recording_can_be_dropped_anywhere(open_page: OpenPage) -> None:
    page = open_page()
    carried = page.evaluate_handle(
        """(bytes) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], "dropped.ogg"));
            return carried;
        }""",
        list((ROOT / "samples" / "en-1.ogg").read_bytes()),
    )
    page.dispatch_event("footer", "dragenter", {"dataTransfer": carried})
    expect(page.locator("body")).to_have_class("is-dropping")
    page.dispatch_event("footer", "drop", {"dataTransfer": carried})
    expect(page.locator("body")).not_to_have_class("is-dropping")
    expect(page.get_by_role("status")).to_have_text("dropped.ogg is done.", timeout=LONG_MS)
    assert words_of(page)


def test_the_language_and_phrases_that_are_chosen_are_asked_for(open_page: OpenPage) -> None:
    page = open_page()
    sent = Sent(page)
    page.get_by_label("Language").select_option("Chinese, 中文")
    page.get_by_text("Hot phrases").click()
    page.get_by_label("Names and words").fill(" 你好 \n\n世界\n")
    open_file(page, ROOT / "samples" / "zh-1.ogg")
    assert sent.texts[0]["model"] == "zh"
    assert sent.texts[0]["phrases"] == ["你好", "世界"]
    assert sent.texts[0]["live"] is False
    assert page.locator("#final p").first.get_attribute("lang") == "zh-Hans"
    assert " " not in json.loads(saved(page, "json"))["text"]


def test_everything_can_be_reached_by_keyboard_in_reading_order(open_page: OpenPage) -> None:
    page = open_page()
    open_file(page, ROOT / "samples" / "en-1.ogg")
    focused = []
    for _ in range(9):
        page.keyboard.press("Tab")
        focused.append(
            page.evaluate("() => document.activeElement.id || document.activeElement.localName")
        )
    assert focused == [
        *("model", "listen", "open", "summary"),
        *("copy", "save-txt", "save-srt", "save-json", "clear"),
    ]
    page.get_by_role("button", name="Listen").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Stopped.", timeout=LONG_MS)


def test_axe_finds_no_barrier_and_nothing_sticks_out_of_a_narrow_phone(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    assert_no_barrier(page)
    page.get_by_text("Hot phrases").click()
    page.get_by_label("Names and words").fill("你好")
    page.set_input_files("input[type=file]", ROOT / "samples" / "en-1.ogg")
    expect(page.get_by_role("alert")).to_be_visible(timeout=LONG_MS)
    assert_no_barrier(page)
    page.get_by_label("Names and words").fill("")
    open_file(page, ROOT / "samples" / "en-1.ogg")
    page.get_by_role("button", name="Listen").click()
    expect(under_way(page)).to_contain_text(TWO_WORDS, timeout=LONG_MS)
    page.set_viewport_size({"width": NARROWEST_PX, "height": 640})
    assert_no_barrier(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= NARROWEST_PX
    stop(page)


def assert_no_barrier(page: Page) -> None:
    """The page follows axe's rules with WCAG 2.2's contrasts, in light and in dark colours."""
    axe = Axe()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page)
        assert found.violations_count == 0, found.generate_report()


def assert_same_json(text: str, transcript: Transcript) -> None:
    """The file equals that of `ds2 transcribe`; other chunks may round numbers differently."""
    shown, expected = json.loads(text), json.loads(WRITERS["json"](transcript, LineShape()))
    assert shown["text"] == expected["text"]
    assert shown["language"] == expected["language"]
    assert shown["duration"] == pytest.approx(expected["duration"], abs=1e-3)
    assert len(shown["segments"]) == len(expected["segments"])
    for ours, theirs in zip(shown["segments"], expected["segments"], strict=True):
        words = zip(ours.pop("words"), theirs.pop("words"), strict=True)
        assert ours == pytest.approx(theirs, abs=2e-4)
        for our_word, their_word in words:
            assert our_word == pytest.approx(their_word, abs=2e-4)
