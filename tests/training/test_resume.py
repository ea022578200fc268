"""A run that is killed at random moments ends with the weights of an uninterrupted run.

DS2_KILLS=10 kills it ten times.
"""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from aids.runs import assert_same_runs, finish, kill_after, start
from aids.tones import QUICKSTART, random_texts, tone_settings, write_tones

NUM_LINES = 45  # of the journal: 5 epochs of 8 steps and an evaluation
NUM_KILLS = int(os.environ.get("DS2_KILLS", "2"))


OPTIONS = {
    "average-last": {"training__average_last": 2, "training__num_threads": 2},
    "muon-ema": {
        "training__optimiser": "muon",
        "training__muon_iterations": 3,
        "training__ema": 0.9,
        "training__layer_decay": 0.7,
        "data__train_shares": [0.8],
        "training__epochs": 6,  # of about 6 steps
    },
    "hours": {
        "training__schedule": "constant",
        "training__hours": 0.025,  # in the middle of an epoch
        "training__decay_hours": 0.01,
        "training__decay_shape": "sqrt",
        "training__ema": 0.9,
    },
    "device": {
        "data__cache_gb": 1.0,
        "data__augment_on": "device",
        "augmentation__reverberation_probability": 0.5,
        "augmentation__vocal_tract_probability": 0.5,
    },
    "soap": {"training__optimiser": "soap", "training__soap_every": 3},
}


def kill_and_resume(directory: Path, num_kills: int, **options: Any) -> int:
    """Compare an uninterrupted run with a killed run; return the number of kills during the run."""
    texts = random_texts(32)
    settings = tone_settings(
        write_tones(directory, "train", texts),
        write_tones(directory, "dev", texts[:4], 1),
        **{
            "training__epochs": 5,
            "training__log_every": 1,
            "training__checkpoint_every_s": 0.05,
            "data__max_batch_size": 4,
            "data__num_workers": 1,
            "network__num_recurrent": 2,
            "network__dropout": 0.2,
            "augmentation__speed_probability": 0.5,
            "augmentation__mask_probability": 1.0,
            "data__cache_dir": str(directory / "cache"),
            **options,
        },
    )
    whole, killed = directory / "whole", directory / "killed"
    process = start(QUICKSTART, whole, *settings)
    arguments: list[str | Path] = [QUICKSTART, killed, *settings]
    num_hit = 0
    moments = sorted(random.choices(range(NUM_LINES), k=num_kills))
    for index, num_lines in enumerate(moments):
        run = start(*arguments)
        how = signal.SIGTERM if index % 3 == 1 else signal.SIGKILL
        kill_after(run, killed, num_lines, how)
        run.communicate(timeout=100)
        num_hit += run.returncode != 0
        assert not list((killed / "checkpoints").glob("*.damaged"))
        if (killed / "config.toml").exists():
            arguments = [killed]
    finish(start(*arguments))
    finish(process)
    assert_same_runs(whole, killed)
    return num_hit


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_killed_at_random_moments_a_run_ends_with_the_same_weights(
    tmp_path: Path, name: str
) -> None:
    if name == "soap":
        pytest.importorskip("pytorch_optimizer")
    num_hit = kill_and_resume(tmp_path, NUM_KILLS, **OPTIONS[name])
    print(f"{num_hit} of {NUM_KILLS} kills hit the run")
