"""The pages fit together: links, anchors, tables, messages, dates, the site."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from aids.pages import ALL, FENCE, ROOT, pages, text_of
from ds2.cli import build_parser

DOCS = pages("docs/**/*.md")
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)=["']([^"'\s]+)""")
FOREIGN = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio)\b[^>]*?(?:src|href|srcset)=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//"""
)
"""Parts that a browser would fetch from another host, without links to click on."""
FIGURE_PAGES = (
    "docs/explanation/results.md",
    "docs/explanation/data-and-time.md",
    "docs/explanation/what-it-does-not-do.md",
    "README.md",
    "docs/how-to/serving.md",
    "docs/how-to/alignment.md",
    "docs/how-to/fine-tuning.md",
    "docs/how-to/language-models.md",
    "docs/how-to/long-recordings.md",
    "docs/how-to/published-models.md",
    "docs/how-to/coming-from-other-decoders.md",
    "docs/how-to/shards.md",
    "docs/how-to/calls.md",
    "docs/how-to/choose-a-size.md",
    "docs/how-to/podcast.md",
    "docs/explanation/decoding.md",
    "docs/explanation/streaming.md",
    "docs/tutorial/your-own-model.md",
)
"""Pages with measured figures."""
MONTH = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December)"
    r" 20\d\d\b"
)


def anchors_of(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub and the site make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", ALL)
def test_links_lead_to_a_file_and_a_heading(page: str) -> None:
    here = ROOT / page
    code = re.compile(r"`[^`\n]+`")
    for groups in LINK.findall(code.sub("", FENCE.sub("", text_of(page)))):
        path, _, fragment = (groups[0] or groups[1]).partition("#")
        if re.match(r"\w+:", path):
            continue
        target = here if not path else here.parent / path
        assert target.is_file(), f"{page}: {path}: name a file"
        if fragment and target.suffix == ".md":
            assert fragment in anchors_of(target), f"{page}: {path}#{fragment}"


def test_the_index_and_the_navigation_name_every_page() -> None:
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    named = set(re.findall(r"'([\w/.-]+\.md)'", str(settings["project"]["nav"])))
    index = text_of("docs/README.md")
    for page in DOCS:
        if re.search(r"/decisions/\d", page):
            continue
        assert page in named, f"zensical.toml: add {page}"
        assert page == "docs/README.md" or page.removeprefix("docs/") in index, page


@pytest.mark.parametrize("page", ["docs/reference/cli.md", "docs/reference/settings.md"])
def test_every_row_of_a_reference_has_a_meaning(page: str) -> None:
    rows = re.findall(r"^\|(.*)\|$", text_of(page), re.MULTILINE)
    assert len(rows) > 50
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)]
        assert all(cells), f"{page}: {row}"


def test_every_command_has_a_section() -> None:
    import argparse

    def programs(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    yield inner.prog
                    yield from programs(inner)

    text = text_of("docs/reference/cli.md")
    for program in set(programs(build_parser())):
        assert f"\n## {program}\n" in text, program


def messages_of_the_source() -> list[str]:
    """Every text in the code; \\0 stands for values that are filled in."""

    def text_in(node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            parts = (text_in(part) for part in node.values)
            return "".join("\0" if part is None else part for part in parts)
        if isinstance(node, ast.FormattedValue):
            return text_in(node.value)
        if isinstance(node, ast.Name) and node.id in constants:
            return constants[node.id]
        return None

    found, constants = [], {}
    paths = sorted((ROOT / "src").rglob("*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    for tree in trees:  # first all constants: messages use those of other files, too
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = text_in(node.value)
                if value is not None:
                    constants[node.targets[0].id] = value
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                text = text_in(node)
                if text:
                    found.append(text)
    return found


@pytest.mark.slow
def test_each_message_of_the_troubleshooting_page_is_in_the_source() -> None:
    source = messages_of_the_source()
    page = text_of("docs/how-to/troubleshooting.md").partition("## No message")[0]
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(quoted) > 25
    for message in quoted:
        parts = [re.escape(part) for part in message.split("...")]
        pattern = re.compile(r"[^\n]*".join(parts), re.DOTALL)
        assert any(pattern.search(text) for text in source), message


@pytest.mark.parametrize("page", FIGURE_PAGES)
def test_pages_with_figures_say_when_they_were_taken(page: str) -> None:
    assert MONTH.search(text_of(page)), f"{page}: say the month of the figures"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="needs zensical")
def test_the_site_builds_and_fetches_nothing_from_other_hosts() -> None:
    script = ROOT / "docs" / "make_site.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = ROOT / "build" / "site"
    assert (site / "search.json").is_file()
    assert "log_probs" in (site / "docs" / "reference" / "api.html").read_text(encoding="utf-8")
    for path in site.rglob("*"):
        if path.suffix in (".html", ".css"):
            found = FOREIGN.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path}: {found[0] if found else ''}"
