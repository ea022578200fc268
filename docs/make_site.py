"""Build the site of the documentation in build/site. Any warning is an error.

    python docs/make_site.py

The site has the layout of the repository, so that a link works in both. It holds README.md, the
pages in docs/, and whatever these link to: other READMEs, source files, pictures.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
SITE = ROOT / "build" / "site"
LINK = re.compile(r"""\]\(([^)#\s]+)|(?:src|srcset|href)=["']([^"'#\s]+)""")
"""The target of a link or picture, in Markdown or in HTML."""
COLOURS = re.compile(r"\x1b\[[\d;]*m")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def links_in(page: Path) -> list[Path]:
    """The files of the repository that a page links to. Raises SystemExit if one is missing."""
    found = []
    for targets in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        target = targets[0] or targets[1]
        if re.match(r"\w+:", target):  # https:, mailto:
            continue
        path = (page.parent / target).resolve()
        if not path.is_file():
            raise SystemExit(f"{page.relative_to(ROOT)}: {target}: there is no such file")
        found.append(path)
    return found


def collect() -> list[Path]:
    """All files of the site: the pages, and what they link to."""
    waiting = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found: dict[Path, None] = {}
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = None
        if path.suffix == ".md":
            waiting += links_in(path)
    return sorted(found)


def main() -> int:
    """Copy the files to build/pages, and make the site of them. Returns the exit status."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    files = collect()
    for path in files:
        copy = PAGES / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told = COLOURS.sub("", done.stdout + done.stderr).partition("Traceback")[0]
    if done.returncode:
        print(told, file=sys.stderr)
        return 1
    num_pages = sum(path.suffix == ".md" for path in files)
    print(f"build/site: {num_pages} pages and {len(files) - num_pages} other files, no warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
