"""Several processes train like one process with the same global minibatches."""

import json
from pathlib import Path

import pytest
import torch

from aids.runs import train_with_processes
from aids.tones import random_texts, tone_config, tone_settings, write_tones
from ds2.errors import InputError
from ds2.training.run.checkpoint import LAST, read_checkpoint
from ds2.training.run.distributed import choose_device
from ds2.training.run.run import train


def lines(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_global_minibatches(tmp_path: Path) -> None:
    texts = random_texts(9)  # an odd number: a last minibatch of one leaves a process without
    train_manifest = write_tones(tmp_path, "train", texts)
    dev = write_tones(tmp_path, "dev", texts[:3], 1)
    settings = {
        "training__epochs": 4,
        "training__log_every": 1,
        # Not AdamW: its step for a mere rounding error is as large as for any other gradient.
        "training__optimiser": "sgd",
        "training__learning_rate": 1e-4,
        "training__momentum": 0.9,
        "data__max_batch_size": 4,
        "network__num_recurrent": 2,
    }
    train(tmp_path / "one", tone_config(train_manifest, dev, **settings))
    train_with_processes(2, tmp_path / "two", tone_settings(train_manifest, dev, **settings))

    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert [(line["kind"], line["step"]) for line in one] == [
        (line["kind"], line["step"]) for line in two
    ]
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
    weights = [
        read_checkpoint(tmp_path / name / "checkpoints" / LAST).network for name in ("one", "two")
    ]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4)


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match=r"training\.device: 'gpu' is no device"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(InputError, match="no GPU"):
            choose_device("cuda")
