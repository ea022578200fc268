"""The import paths of ds2 stay, even if the code behind them moves."""

import importlib
import subprocess
import sys

import pytest

import ds2

PATHS = {
    "ds2": ds2.__all__,
    "ds2.audio": ["audio_blocks", "find_audio", "pcm_blocks", "probe_audio", "read_audio"],
    "ds2.client": ["ServerError", "ServerGone", "connect", "transcribe"],
    "ds2.ctc.beam_search": ["BeamSearch"],
    "ds2.manifest": ["Utterance", "read_manifest", "write_manifest"],
    "ds2.ngram.model": ["NgramModel"],
}


@pytest.mark.parametrize("module", PATHS)
def test_public_names_are_found_where_they_always_were(module: str) -> None:
    for name in PATHS[module]:
        assert getattr(importlib.import_module(module), name) is not None


def test_completion_offers_what_is_not_imported_yet() -> None:
    code = "import ds2, sys; assert 'ds2.recognition' not in sys.modules; print(*dir(ds2))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(ds2.__all__) < set(done.stdout.split())


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Recogniser"):
        _ = ds2.Recogniser
