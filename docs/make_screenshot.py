"""Take the pictures of the web page: docs/pictures/page.png and page-dark.png. Needs a Chromium."""

import argparse
import re
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from ds2.audio import read_audio, write_wav

PICTURES = Path(__file__).parent / "pictures"
SAMPLES = Path(__file__).parents[1] / "samples"
SIZE = {"width": 1040, "height": 640}
MID_SENTENCE = re.compile(r"\w( \w+){5}")
LONG_MS = 20_000
NUM_COLOURS = 96


def main() -> None:
    """Have the page of a running server read one sample and listen to another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8000/")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as driver:
        spoken = Path(directory) / "spoken.wav"
        write_wav(spoken, read_audio(SAMPLES / "en-2.ogg"))
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={spoken}%noloop",
            ],
        )
        take(browser, args.address, "light", PICTURES / "page.png")
        take(browser, args.address, "dark", PICTURES / "page-dark.png")


def take(browser: Browser, address: str, scheme: str, path: Path) -> None:
    """A picture while somebody speaks, with a recording's text above."""
    page = browser.new_page(color_scheme=scheme, viewport=SIZE)  # type: ignore[arg-type]
    page.goto(address)
    expect(page.get_by_label("Language")).to_be_enabled()
    page.set_input_files("input[type=file]", SAMPLES / "en-1.ogg")
    expect(page.get_by_role("status")).to_contain_text("is done", timeout=LONG_MS)
    phrases = page.get_by_text("Hot phrases")
    phrases.click()
    page.get_by_label("Names and words").fill("next train\nthe city\nplatform four")
    phrases.click()
    page.get_by_role("button", name="Listen").click()
    under_way = page.get_by_label("Text in progress").locator(".text")
    expect(under_way).to_contain_text(MID_SENTENCE, timeout=LONG_MS)
    page.screenshot(path=path)
    page.close()
    with Image.open(path) as picture:  # few colours are enough, and make a small file
        few = picture.convert("RGB").quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
