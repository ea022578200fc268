"""The words of a run about its cost and its speed."""

from pathlib import Path

import pytest

from aids.tones import QUICKSTART, random_texts, tone_settings, write_tones
from ds2.cli import main
from ds2.training.network.config import PRESETS
from ds2.training.run.cost import advice_on_size
from ds2.training.run.progress import Speed, clock


@pytest.mark.parametrize(
    ("preset", "hours", "is_too_large"),
    [
        ("small", 10 / 60, True),
        ("small", 1.0, True),
        ("small", 10.0, False),
        ("medium", 1.0, True),
        ("medium", 100.0, False),
        ("english-streaming", 10.0, True),
        ("english-streaming", 1000.0, False),
    ],
)
def test_a_network_far_too_large_for_its_data_is_warned_of(
    preset: str, hours: float, is_too_large: bool
) -> None:
    advice = advice_on_size(PRESETS[preset].num_parameters(29), hours)
    assert (advice is not None) == is_too_large
    if advice:
        assert "training.init_from" in advice


def test_a_toy_is_not_warned_of() -> None:
    assert advice_on_size(60_000, 0.01) is None


def test_the_speed_is_that_of_the_last_steps() -> None:
    speed = Speed(3600.0)
    assert clock(speed.remaining_s(0.0)) == "?"
    for _ in range(50):
        speed.add(10.0, 10.0)  # as fast as real time
    for _ in range(25):
        speed.add(10.0, 5.0)
    assert speed.hours_per_hour == pytest.approx(2.0)
    assert speed.remaining_s(1800.0) == pytest.approx(900.0)
    assert clock(7325.0) == "2:02:05"


def test_a_run_says_what_it_will_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_tones(tmp_path, "train", random_texts(6))
    settings = tone_settings(manifest, manifest, training__epochs=8, data__max_batch_size=2)
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", str(QUICKSTART), "-o", str(tmp_path / "run"), *words]) == 0
    told = capsys.readouterr().err
    assert "length: 8 epochs of 0.00 h" in told
    before, _, after = told.partition("after 20 steps: ")
    assert "0.06 M parameters" in before
    assert "hours of audio per hour; the rest takes 0:0" in after
    assert "of memory so far" in after
    assert told.count("after 20 steps") == 1
