"""The web page from the server: its files, their headers, the facts that it requests."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from aids.listening import listening
from aids.models import TINY_BIDIRECTIONAL, write_random_bundle
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings
from ds2.serving.protocols.page.routes import FILES, MEDIA_TYPES

TEXTS = {path.name: path.read_text() for path in sorted(FILES.iterdir())}
SCRIPTS = [name for name in TEXTS if name.endswith(".js")]
REFERENCE = re.compile(r"""(?:(?:href|src)=|\bfrom |\bimport |url\(|new URL\()["']([^"']+)["']""")
HOST = re.compile(r"//([\w.-]+)")
NAMED_HOSTS = {"www.w3.org", "localhost"}  # SVG's name; an address in advice
KEY = "a-key-of-the-server"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with keys and two models."""
    recognizers = {
        "quick": Recognizer(write_random_bundle(tmp_path_factory.mktemp("zh"), language="zh")),
        "whole": Recognizer(write_random_bundle(tmp_path_factory.mktemp("en"), TINY_BIDIRECTIONAL)),
    }
    with listening(recognizers, ServeSettings(api_keys=(KEY,))) as host:
        yield f"http://{host}"


def references(name: str) -> set[str]:
    """The names of files that a file loads; the page at / names its parts page/NAME."""
    found = set(REFERENCE.findall(TEXTS[name])) - {"v1/stream"}
    return {reference.removeprefix("page/").removeprefix("./") for reference in found}


def test_every_file_that_the_page_names_exists_and_every_file_is_named() -> None:
    named = {reference for name in TEXTS for reference in references(name)}
    assert named == set(TEXTS) - {"index.html"}


def test_no_file_names_another_host() -> None:
    for name, text in TEXTS.items():
        assert set(HOST.findall(text)) <= NAMED_HOSTS, name


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    # The policy forbids them, so that spoken text can never become a program.
    page = TEXTS["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert all('src="page/' in tag for tag in re.findall(r"<script[^>]*>", page))
    for name in SCRIPTS:
        assert not re.search(r"\b(innerHTML|outerHTML|eval|document\.write)\b", TEXTS[name]), name


def test_every_script_begins_with_its_purpose() -> None:
    for name in SCRIPTS:
        assert TEXTS[name].startswith("// "), name


def test_every_id_that_scripts_ask_for_is_on_the_page() -> None:
    asked = {name for script in SCRIPTS for name in re.findall(r'\$\("([\w-]+)"\)', TEXTS[script])}
    assert asked <= set(re.findall(r'\bid="([\w-]+)"', TEXTS["index.html"]))


@pytest.mark.slow
def test_every_file_is_served_with_its_type_and_the_policy(at: str) -> None:
    for name, text in TEXTS.items():
        path = "/" if name == "index.html" else f"/page/{name}"
        answer = httpx.get(at + path)
        assert answer.status_code == 200
        assert answer.text == text
        assert answer.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_references_lead_to_files_from_any_prefix(at: str) -> None:
    # Behind a proxy the page may live at /speech/: nothing in it begins with a slash.
    for reference in REFERENCE.findall(TEXTS["index.html"]):
        assert not reference.startswith("/")
        assert httpx.get(urljoin(at + "/", reference)).status_code == 200


def test_a_file_that_the_browser_has_is_not_sent_again(at: str) -> None:
    first = httpx.get(f"{at}/page/app.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = httpx.get(f"{at}/page/app.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    changed = httpx.get(f"{at}/page/app.js", headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


def test_the_page_needs_no_key_and_tells_that_streams_do(at: str) -> None:
    answer = httpx.get(f"{at}/page/server.json")
    assert answer.headers["cache-control"] == "no-store"
    facts = answer.json()
    assert facts["needs_key"] is True
    assert [model["name"] for model in facts["models"]] == ["quick", "whole"]
    assert [model["language"] for model in facts["models"]] == ["zh", "en"]
    assert [model["streaming"] for model in facts["models"]] == [True, False]
    assert facts["models"][0]["latency_s"] > 0
    assert facts["models"][1]["latency_s"] is None


def test_there_is_nothing_else_beside_the_page(at: str) -> None:
    for path in ("/page/", "/page/index.html", "/page/..%2fpage.py", "/page/%2e%2e/page.py"):
        answer = httpx.get(at + path, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 404
