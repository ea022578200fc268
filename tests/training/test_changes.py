"""Runs that continue with other settings, and runs that end with a final decay."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aids.runs import records
from aids.tones import QUICKSTART, random_texts, tone_config, tone_settings, write_tones
from ds2.cli import main
from ds2.errors import InputError
from ds2.training.run.checkpoint import BEST, LAST, Progress, load_network, read_checkpoint
from ds2.training.run.directory import prepare_run_directory
from ds2.training.run.finishing import finish, prepare_finish
from ds2.training.run.run import train

HOUR_S = 3600.0


def tones(directory: Path, **settings: object) -> list[str]:
    texts = random_texts(12)
    train_manifest = write_tones(directory, "train", texts)
    dev = write_tones(directory, "dev", texts[:2], 1)
    settings = {
        "training__schedule": "constant",
        "training__warmup_steps": 0,
        "training__log_every": 1,
        "data__max_batch_size": 2,
        **settings,
    }
    return tone_settings(train_manifest, dev, **settings)


def trained(directory: Path, **settings: object) -> Path:
    """The directory of a complete run of an epoch."""
    run_dir = directory / "run"
    settings = {"training__epochs": 1, **settings}
    train(*prepare_run_directory(QUICKSTART, run_dir, tones(directory, **settings)))
    return run_dir


def last(run_dir: Path) -> Progress:
    return read_checkpoint(run_dir / "checkpoints" / LAST).progress


def test_changed_settings_are_recorded_and_hold_from_then_on(tmp_path: Path) -> None:
    run_dir = trained(tmp_path)
    changes = ["training.epochs=2", "training.learning_rate=5e-4"]
    train(*prepare_run_directory(run_dir, None, changes))
    (event,) = records(run_dir, "settings")
    assert event["step"] == 6
    assert event["changes"] == {
        "training.epochs": [1, 2],
        "training.learning_rate": [0.01, 0.0005],
    }
    rates = [line["learning_rate"] for line in records(run_dir, "train")]
    assert rates == [0.01] * 6 + [0.0005] * 6
    train(*prepare_run_directory(run_dir, None, []))
    assert len(records(run_dir, "settings")) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "network.hidden_size=9",
        "network.batch_norm=false",
        "features.normalisation=clip",
        "data.alphabet=bigrams",
        "data.min_count=2",
        "training.optimiser=muon",
        "training.seed=7",
        "training.init_from=elsewhere",
    ],
)
def test_what_the_weights_depend_on_cannot_change(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, config = prepare_run_directory(QUICKSTART, tmp_path / "run", tones(tmp_path))
    from ds2.training.run.run import write_config

    write_config(run_dir, config)
    before = (run_dir / "config.toml").read_bytes()
    assert main(["train", str(run_dir), "--set", change]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert change.split("=")[0].split(".")[0] in error
    assert "cannot change in a resumed run" in error
    assert (run_dir / "config.toml").read_bytes() == before
    same = f"training.learning_rate={config.training.learning_rate}"
    assert prepare_run_directory(run_dir, None, [same, "network.dropout=0.1"])


def test_a_run_is_finished_where_it_is(tmp_path: Path) -> None:
    run_dir = trained(tmp_path)
    heard_s = last(run_dir).audio_s
    hours = 1.5 * heard_s / HOUR_S
    train(*prepare_finish(run_dir, None, [], hours))
    rates = [line["learning_rate"] for line in records(run_dir, "train")]
    decay = rates[6:]
    assert decay[0] == pytest.approx(0.01)
    assert decay == sorted(decay, reverse=True)
    assert 0 < decay[-1] < 0.002
    progress = last(run_dir)
    assert progress.audio_s >= 2.5 * heard_s
    # The last step is evaluated, though it is in the middle of an epoch.
    assert progress.batch_index > 0
    assert records(run_dir, "dev")[-1]["step"] == progress.step
    with pytest.raises(InputError, match=r"its final decay of .* has begun"):
        prepare_finish(run_dir, None, [], hours)


def test_a_decay_under_way_goes_on_by_the_same_command_and_no_other(tmp_path: Path) -> None:
    config = tone_config(Path("a"), Path("b"), training__schedule="constant")
    before = Progress(step=9, audio_s=2 * HOUR_S)
    begun = finish(config, before, 4.0, [], tmp_path)
    assert begun.training.hours == 6.0
    inside = Progress(step=19, audio_s=3 * HOUR_S)
    assert finish(begun, inside, 4.0, [], tmp_path) == begun
    with pytest.raises(InputError, match="its final decay of 4 h has begun"):
        finish(begun, inside, 5.0, [], tmp_path)
    with pytest.raises(InputError, match="above 0 hours"):
        finish(config, before, 0.0, [], tmp_path)


def test_the_final_decay_begins_at_the_rate_that_the_schedule_has_reached(tmp_path: Path) -> None:
    config = tone_config(Path("a"), Path("b"), training__schedule="cosine", training__epochs=4)
    config = replace(config, training=replace(config.training, optimiser="muon"))
    middle = Progress(step=99, epoch=2, audio_s=HOUR_S)
    found = finish(config, middle, 1.0, [], tmp_path).training
    assert found.learning_rate == pytest.approx(0.01 * 0.505)
    assert found.muon_learning_rate == pytest.approx(0.02 * 0.505)
    named = ["training.learning_rate=0.01"]
    assert finish(config, middle, 1.0, named, tmp_path).training.learning_rate == 0.01


def test_a_run_is_finished_elsewhere_and_can_still_go_on(tmp_path: Path) -> None:
    run_dir, new_dir = trained(tmp_path), tmp_path / "finished"
    before = {path: path.read_bytes() for path in (run_dir / "checkpoints").iterdir()}
    heard_s = last(run_dir).audio_s
    command = ["--finish", str(heard_s / HOUR_S), "-o", str(new_dir)]
    assert main(["train", str(run_dir), *command]) == 0
    assert {path: path.read_bytes() for path in (run_dir / "checkpoints").iterdir()} == before
    assert last(new_dir).audio_s >= 2 * heard_s
    assert [line["step"] for line in records(new_dir, "train")] == list(range(1, 13))
    assert load_network(new_dir)[1].progress.step > 6  # its best checkpoint is its own
    # Bit for bit as in place.
    train(*prepare_finish(run_dir, None, [], heard_s / HOUR_S))
    both = [read_checkpoint(each / "checkpoints" / LAST).network for each in (run_dir, new_dir)]
    assert all(torch.equal(value, both[1][name]) for name, value in both[0].items())
    checkpoint = run_dir / "checkpoints" / BEST
    with pytest.raises(InputError, match="holds a run already"):
        prepare_finish(checkpoint, new_dir, [], 1.0)
    assert main(["train", str(QUICKSTART), "--finish", "1", "-o", str(tmp_path / "x")]) == 2
    assert main(["train", str(QUICKSTART), "--finish", "1"]) == 2
