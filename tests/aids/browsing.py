"""A real Chromium for tests of the web page: actions on pages, and their effects.

The fixtures are in browser_fixtures.py: `pytest_plugins = ["aids.browser_fixtures"]` gives them.

Chromium is the one in $CHROMIUM, or on the path, or Playwright's own (`playwright install
chromium`); tests that need one are skipped where there is none.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from playwright.sync_api import Browser, Locator, Page, expect

from ds2.audio import SAMPLE_RATE_HZ, Waveform

ROOT = Path(__file__).parents[2]
INSECURE_HOST = "ds2.test"
LONG_MS = 20_000
A_LETTER, TWO_WORDS = re.compile(r"\w"), re.compile(r"\w \w")

Launch: TypeAlias = Callable[[list[str]], Browser]
OpenPage: TypeAlias = Callable[..., Page]


def chromium() -> str | None:
    """The path of an installed Chromium; None: Playwright finds one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Sent:
    """The messages that a page sends through its WebSockets."""

    def __init__(self, page: Page) -> None:
        self.texts: list[dict[str, Any]] = []
        self.num_bytes = 0  # bytes of sound
        self._audio: list[bytes] = []
        page.on("websocket", lambda socket: socket.on("framesent", self._take))

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._audio.append(message)
            self.num_bytes += len(message)
        else:
            self.texts.append(json.loads(message))

    @property
    def rate_hz(self) -> int | None:
        """Sample rate of the sound; None before the first stream."""
        return self.texts[0]["sample_rate_hz"] if self.texts else None

    def waveform(self) -> Waveform:
        """All sound."""
        return np.frombuffer(b"".join(self._audio), "<i2") * np.float32(2.0**-15)


def likeness(heard: Waveform, said: Waveform) -> float:
    """How well each quarter of a second of a sound matches its best place in another sound.

    The median of the correlations, in [-1, 1], because a busy machine may drop some sound.
    """
    size, loud = SAMPLE_RATE_HZ // 4, 1e-3
    spectrum = np.fft.rfft(said, len(said) + size)
    energies = np.convolve(said.astype(np.float64) ** 2, np.ones(size), "valid")
    best = []
    for start in range(0, len(heard) - size + 1, size):
        piece = heard[start : start + size]
        if (norm := np.linalg.norm(piece)) > loud:
            product = spectrum * np.fft.rfft(piece, len(said) + size).conj()
            matches = np.fft.irfft(product, len(said) + size)[: len(energies)]
            best.append(np.max(matches / np.sqrt(energies + loud**2)) / norm)
    return float(np.median(best))


def words_of(page: Page) -> list[str]:
    """The final words that the page shows."""
    return [str(text) for text in page.locator("#final [data-certainty]").all_inner_texts()]


def route(page: Page, through: Callable[[Any], None]) -> None:
    """Route the page's WebSockets through a function that can cut them."""
    page.route_web_socket("**/v1/stream", through)
    page.reload()
    expect(page.get_by_label("Language")).to_be_enabled()


def under_way(page: Page) -> Locator:
    """The text that may still change."""
    return page.get_by_label("Text in progress").locator(".text")


def saved(page: Page, extension: str) -> str:
    """The text of the file that the page saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save as {extension}").click()
    assert download.value.suggested_filename == f"transcript.{extension}"
    return Path(download.value.path()).read_text(encoding="utf-8")


def listen_for(page: Page, sent: "Sent", duration_s: float) -> None:
    """Press Listen, and press Stop after the page has sent this much sound."""
    page.get_by_role("button", name="Listen").click()
    while sent.num_bytes < 2 * duration_s * (sent.rate_hz or SAMPLE_RATE_HZ):
        page.wait_for_timeout(50)
    stop(page)


def stop(page: Page) -> None:
    """Press Stop and wait for the last words."""
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.", timeout=LONG_MS)


def open_file(page: Page, path: Path) -> None:
    """Let the page read a file to its end."""
    page.set_input_files("input[type=file]", path)
    expect(page.get_by_role("status")).to_have_text(f"{path.name} is done.", timeout=LONG_MS)
