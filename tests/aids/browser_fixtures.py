"""Fixtures: a Chromium with a microphone, a server, and its page. browsing.py has the helpers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from aids.browsing import INSECURE_HOST, ROOT, Launch, OpenPage, chromium
from aids.listening import listening
from aids.models import write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ, Waveform, read_audio, write_wav
from ds2.recognition.recognizer import Recognizer

QUIET = [  # a test connects only to its own server
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """A function that starts browsers with more arguments; without a Chromium it skips the test."""
    browsers = []
    with sync_playwright() as driver:

        def start(arguments: list[str]) -> Browser:
            try:
                browser = driver.chromium.launch(
                    executable_path=chromium(), args=[*QUIET, *arguments]
                )
            except Error as error:
                pytest.skip(f"no Chromium: set CHROMIUM to its path ({error.message[:200]})")
            browsers.append(browser)
            return browser

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def spoken() -> Waveform:
    """The sound at the microphone: a sentence, and quiet around it."""
    quiet = np.zeros(SAMPLE_RATE_HZ // 2, np.float32)
    return np.concatenate([quiet, read_audio(ROOT / "samples" / "en-1.ogg"), quiet])


@pytest.fixture(scope="module")
def browser(
    launch: Launch,
    spoken: Waveform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Browser:
    """A browser whose microphone plays the sentence once."""
    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    write_wav(path, spoken)
    return launch(
        [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={path}%noloop",
            f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
        ]
    )


@pytest.fixture(scope="module")
def english() -> Recognizer:
    """The shipped model."""
    return Recognizer.load(ROOT / "models" / "en", greedy=True)


@pytest.fixture(scope="module")
def at(english: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with English, and with a random Mandarin model."""
    mandarin = Recognizer(write_random_bundle(tmp_path_factory.mktemp("zh"), language="zh"))
    with listening({"en": english, "zh": mandarin}) as host:
        yield f"http://{host}/"


@pytest.fixture
def open_page(browser: Browser, at: str) -> Iterator[OpenPage]:
    """A function that opens the page; the page may ask no other host and log no error."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def start(address: str = at, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on(
            "request", lambda asked: foreign(asked.url, address) and complaints.append(asked.url)
        )
        page.goto(address)
        expect(page.get_by_label("Language")).to_be_enabled()
        return page

    yield start
    for context in contexts:
        context.close()
    assert not complaints


def foreign(address: str, page: str) -> bool:
    return not address.startswith((page, f"blob:{page}"))
