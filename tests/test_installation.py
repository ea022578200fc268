"""The command for a missing part fits the way in which ds2 was installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ds2.errors import InputError
from ds2.installation import install_command, needing

ROOT = Path(__file__).parents[1]
ASK = "from ds2.installation import install_command; print(install_command('serve', 'train'))"


def installed(site: Path, direct_url: str | None) -> str:
    """The hint of a ds2 that pip has put into `site`, from this address or the index."""
    facts = site / "deepspeech2-0.1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.4\nName: deepspeech2\nVersion: 0.1.0\n")
    if direct_url:
        (facts / "direct_url.json").write_text(json.dumps({"url": direct_url, "dir_info": {}}))
    (site / "ds2").mkdir()
    for name in ("__init__.py", "errors.py", "installation.py"):
        shutil.copy(ROOT / "src" / "ds2" / name, site / "ds2" / name)
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.strip()


def test_in_a_checkout_the_checkout_is_named() -> None:
    assert install_command("train") == f"pip install -e '{ROOT}[train]'"


def test_what_came_from_the_index_names_the_distribution(tmp_path: Path) -> None:
    assert installed(tmp_path / "site", None) == "pip install 'deepspeech2[serve,train]'"


def test_what_came_from_a_directory_names_it_while_it_is_there(tmp_path: Path) -> None:
    source = tmp_path / "my source"
    source.mkdir()
    hint = installed(tmp_path / "site", source.as_uri())
    assert hint == f"pip install '{source}[serve,train]'"
    source.rmdir()
    hint = installed(tmp_path / "other", source.as_uri())
    assert hint == "pip install 'deepspeech2[serve,train]'"


def test_a_library_that_is_missing_is_named_and_a_fault_of_ours_is_not_hidden() -> None:
    told = r"training needs torch: pip install .*\[train\]'"
    with pytest.raises(InputError, match=told), needing("train", told="training"):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    with pytest.raises(ModuleNotFoundError), needing("train", told="training"):
        raise ModuleNotFoundError("No module named 'ds2.nothing'", name="ds2.nothing")


def test_every_extra_that_is_named_is_one_of_the_distribution() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    pattern = r"(?:needing|install_command)\(((?:['\"][a-z]+['\"](?:, )?)+)"
    calls = re.findall(pattern, "".join(sources))
    named = {name for call in calls for name in re.findall(r"[a-z]+", call)}
    assert {"train", "serve", "show", "vad"} <= named <= set(extras["optional-dependencies"])
    assert extras["name"] == "deepspeech2"


def test_training_without_its_libraries_says_what_to_type() -> None:
    code = (
        "import sys; sys.modules['tomli_w'] = None; from ds2.cli import main; "
        "sys.exit(main(['train', 'nope.toml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"ds2: training needs tomli_w: pip install .*\n", done.stderr)
