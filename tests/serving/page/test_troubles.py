"""The web page in a real Chromium when something is wrong: its message, and the way on."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from aids.browsing import (
    A_LETTER,
    INSECURE_HOST,
    LONG_MS,
    ROOT,
    TWO_WORDS,
    Launch,
    OpenPage,
    open_file,
    route,
    saved,
    stop,
    under_way,
    words_of,
)
from aids.listening import listening
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings

pytest_plugins = ["aids.browser_fixtures"]
pytestmark = pytest.mark.slow
KEY = "a-key-of-the-server"


def test_what_the_server_refuses_is_told(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_text("Hot phrases").click()
    page.get_by_label("Names and words").fill("你好")  # English cannot spell it
    page.set_input_files("input[type=file]", ROOT / "samples" / "en-1.ogg")
    expect(page.get_by_role("alert")).to_contain_text("The server refused", timeout=LONG_MS)
    expect(page.get_by_role("alert")).to_contain_text("你")
    (tmp_path / "no sound.wav").write_bytes(b"no sound")
    page.set_input_files("input[type=file]", tmp_path / "no sound.wav")
    expect(page.get_by_role("alert")).to_contain_text("cannot read “no sound.wav”")
    expect(page.get_by_role("button", name="Listen")).to_be_enabled()


def test_a_full_server_is_busy_until_somebody_leaves(
    open_page: OpenPage, english: Recognizer
) -> None:
    with listening({"en": english}, ServeSettings(max_streams=1)) as host:
        first, second = open_page(f"http://{host}/"), open_page(f"http://{host}/")
        first.get_by_role("button", name="Listen").click()
        expect(first.get_by_role("status")).to_have_text("Listening.", timeout=LONG_MS)
        expect(under_way(first)).to_contain_text(A_LETTER, timeout=LONG_MS)
        second.get_by_role("button", name="Listen").click()
        expect(second.get_by_role("alert")).to_contain_text("The server is busy", timeout=LONG_MS)
        stop(first)
        second.get_by_role("button", name="Try again").click()
        expect(second.get_by_role("alert")).to_be_hidden()
        expect(under_way(second)).to_contain_text(A_LETTER, timeout=LONG_MS)
        stop(second)


def test_a_server_with_keys_asks_for_one(open_page: OpenPage, english: Recognizer) -> None:
    with listening({"en": english}, ServeSettings(api_keys=(KEY,))) as host:
        page = open_page(f"http://{host}/")
        page.get_by_label("API key").fill(KEY)
        open_file(page, ROOT / "samples" / "en-1.ogg")
        assert words_of(page)


def test_a_lost_connection_keeps_the_text_and_can_be_taken_up_again(open_page: OpenPage) -> None:
    page = open_page()
    lines = []

    def through(line: Any) -> None:
        lines.append(line)
        line.connect_to_server()

    route(page, through)
    page.get_by_role("button", name="Listen").click()
    expect(under_way(page)).to_contain_text(TWO_WORDS, timeout=LONG_MS)
    shown = under_way(page).inner_text()
    lines[0].close(code=4000, reason="the cable was pulled")
    expect(page.get_by_role("alert")).to_contain_text("lost: the cable was pulled")
    assert " ".join(words_of(page)).startswith(shown.rsplit(" ", 1)[0])
    num_kept = len(words_of(page))
    page.get_by_role("button", name="Reconnect").click()
    expect(under_way(page)).to_contain_text(A_LETTER, timeout=LONG_MS)
    stop(page)
    assert len(words_of(page)) > num_kept


def test_a_server_that_says_nothing_can_be_left(open_page: OpenPage) -> None:
    page = open_page()
    route(page, lambda _: None)
    page.get_by_role("button", name="Listen").click()
    expect(page.get_by_role("status")).to_have_text("Listening.")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Waiting for the last words…")
    stop(page)
    expect(page.get_by_role("button", name="Listen")).to_be_enabled()


def test_a_file_goes_on_where_the_connection_was_lost(open_page: OpenPage) -> None:
    page = open_page()
    lines = []

    def through(line: Any) -> None:
        server = line.connect_to_server()
        lines.append(line)
        if len(lines) == 1:  # the first connection dies after there is text
            line.on_message(lambda message: server.send(message))
            server.on_message(lambda message: hear(line, message))

    def hear(line: Any, message: str) -> None:
        line.send(message)
        if '"unstable":"' in message:
            line.close(code=4000)

    route(page, through)
    path = ROOT / "samples" / "en-1.ogg"
    page.set_input_files("input[type=file]", path)
    page.get_by_role("button", name="Reconnect").click(timeout=LONG_MS)
    expect(page.get_by_role("status")).to_have_text("en-1.ogg is done.", timeout=LONG_MS)
    assert len(lines) == 2
    once = json.loads(saved(page, "json"))
    page.get_by_role("button", name="Clear").click()
    open_file(page, path)
    assert json.loads(saved(page, "json")) == once  # as without any trouble


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No microphone was found."),
        (["--use-fake-device-for-media-stream"], "This page may not use the microphone."),
    ],
)
def test_a_microphone_that_is_absent_or_refused_is_told(
    launch: Launch, at: str, arguments: list[str], said: str
) -> None:
    page = launch(arguments).new_page()
    page.goto(at)
    page.get_by_role("button", name="Listen").click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("button", name="Listen")).to_be_enabled()


def test_without_https_the_page_says_what_to_do_and_still_takes_files(
    open_page: OpenPage, english: Recognizer
) -> None:
    with listening({"en": english}, ServeSettings(allowed_hosts=(INSECURE_HOST,))) as host:
        page = open_page(f"http://{host.replace('127.0.0.1', INSECURE_HOST)}/")
        page.get_by_role("button", name="Listen").click()
        expect(page.get_by_role("alert")).to_contain_text("https or localhost")
        open_file(page, ROOT / "samples" / "en-1.ogg")
        assert words_of(page)
