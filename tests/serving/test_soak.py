"""The basis of the measurements of a server: a short soak, and the progress of a stream."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from aids.listening import listening
from aids.models import write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ
from ds2.model.bundle import Bundle
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings

ROOT = Path(__file__).parents[2]
SOAK = ROOT / "benchmarks" / "soak.py"
RECORDINGS = ROOT / "samples" / "manifest-en.jsonl"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_random_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")
def test_visitors_of_all_kinds_do_not_disturb_each_other_nor_the_server(bundle: Bundle) -> None:
    command = [sys.executable, str(SOAK), str(RECORDINGS), "-m", str(bundle.path), "--greedy"]
    short = ["--minutes", "0.1", "--visitors", "10", "--idle-s", "5"]
    done = subprocess.run([*command, *short], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing wrong" in done.stdout
    assert "speak" in done.stdout


def test_a_client_that_asks_is_told_after_every_step_how_far_the_model_is(bundle: Bundle) -> None:
    recognizer = Recognizer(bundle, greedy=True)
    settings = ServeSettings(chunk_ms=120, drain_s=0)
    silence = np.zeros(round(0.12 * SAMPLE_RATE_HZ), "<i2").tobytes()
    heard_s = []
    with (
        listening({"en": recognizer}, settings) as at,
        connect(f"ws://{at}/v1/stream") as client,
    ):
        client.send('{"type": "start", "partials": "every_step", "endpoints": false}')
        assert json.loads(client.recv(timeout=20))["type"] == "ready"
        client.send(silence[: SAMPLE_RATE_HZ // 100 * 2])  # a window is longer than its stride
        for _ in range(5):
            client.send(silence)
            message = json.loads(client.recv(timeout=20))
            while message["type"] == "speech_start":  # words of a random model
                message = json.loads(client.recv(timeout=20))
            assert message["type"] == "partial"
            heard_s.append(message["heard_s"])
    assert heard_s == pytest.approx([0.13, 0.25, 0.37, 0.49, 0.61])
