"""Whole runs of training on artificial speech: they learn, report, refuse, fine-tune."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from aids.tones import QUICKSTART, random_texts, tone_config, tone_settings, write_tones
from ds2.cli import main
from ds2.errors import InputError
from ds2.text.alphabet import Alphabet, english_bigrams, english_characters, mandarin_characters
from ds2.training.config import RunConfig, TrainingConfig
from ds2.training.data.dataset import Batch, collate
from ds2.training.network.network import Network
from ds2.training.optimisation.averaging import average_weights
from ds2.training.optimisation.optimiser import build_optimisers, gradient_norm, rescale_gradient
from ds2.training.optimisation.schedule import learning_rate
from ds2.training.run.beginning import begin_from
from ds2.training.run.checkpoint import (
    AVERAGED,
    BEST,
    LAST,
    load_network,
    read_checkpoint,
    write_checkpoint,
)
from ds2.training.run.directory import prepare_run_directory
from ds2.training.run.distributed import Workers
from ds2.training.run.evaluate import summarise
from ds2.training.run.journal import Journal
from ds2.training.run.parts import freeze
from ds2.training.run.run import LOCK, train
from ds2.training.run.step import Stepper

CPU = torch.device("cpu")


def tones(tmp_path: Path, num_train: int = 8, num_dev: int = 3) -> tuple[Path, Path]:
    texts = random_texts(num_train)
    return write_tones(tmp_path, "train", texts), write_tones(tmp_path, "dev", texts[:num_dev], 1)


def metrics(run_dir: Path, kind: str) -> list[dict[str, float]]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def made_up_batch(config: RunConfig, label_length: int = 3) -> Batch:
    torch.manual_seed(3)
    return Batch(
        features=torch.randn(2, 40, config.network.num_bins),
        frame_lengths=torch.tensor([40, 30]),
        labels=torch.randint(1, 20, (2, label_length)),
        label_lengths=torch.tensor([label_length, 2]),
        indices=[0, 1],
        errors=[],
    )


def made_up_stepper(config: RunConfig) -> tuple[Network, Stepper]:
    torch.manual_seed(0)
    network = Network(config.network, 29)
    optimiser = build_optimisers(network, config.training)
    return network, Stepper(network, optimiser, config.training, Workers(), CPU)


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], network: Network) -> set[str]:
    return {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}


@pytest.mark.slow
def test_a_tiny_network_learns_a_few_clips_by_heart(tmp_path: Path) -> None:
    train_manifest, _ = tones(tmp_path)
    config = tone_config(
        train_manifest,
        train_manifest,
        training__epochs=24,
        training__average_last=2,
        training__max_gradient_norm=20.0,
        data__batch_seconds=3.0,
    )
    run_dir = tmp_path / "run"
    assert train(run_dir, config) is None

    last = metrics(run_dir, "dev")[-1]
    assert last["wer"] == 0.0
    assert last["cer"] == 0.0
    assert last["epoch"] == 24
    losses = [line["loss"] for line in metrics(run_dir, "train")]
    assert losses[-1] < losses[0] / 10
    newest = sorted((run_dir / "samples").glob("dev-*.jsonl"))[-1]
    sample = json.loads(newest.read_text().splitlines()[0])
    assert sample["hypothesis"] == sample["reference"]
    assert list((run_dir / "tensorboard").glob("events*"))
    assert load_network(run_dir)[1].progress.best is not None
    assert metrics(run_dir, "averaged")[0]["wer"] == 0.0
    assert (run_dir / "checkpoints" / AVERAGED).is_file()


def test_a_new_run_refuses_the_place_of_an_old_one_and_an_old_one_another_network(
    tmp_path: Path,
) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    run_dir = tmp_path / "run"
    settings = tone_settings(train_manifest, dev, training__epochs=1)
    _, config = prepare_run_directory(QUICKSTART, run_dir, settings)
    train(run_dir, config)
    with pytest.raises(InputError, match="holds a run already"):
        prepare_run_directory(QUICKSTART, run_dir, settings)
    with pytest.raises(InputError, match="network"):
        prepare_run_directory(run_dir, None, ["network.hidden_size=9"])
    with pytest.raises(InputError, match="leave out -o"):
        prepare_run_directory(run_dir, run_dir, [])
    with pytest.raises(InputError, match="not a run to go on with"):
        prepare_run_directory(tmp_path, None, [])
    directory, again = prepare_run_directory(run_dir, None, [])
    training = replace(config.training, num_threads=torch.get_num_threads())  # fixed at the start
    assert (directory, again) == (run_dir, replace(config, training=training))
    _, longer = prepare_run_directory(run_dir, None, ["training.epochs=2"])
    train(run_dir, longer)
    assert [line["epoch"] for line in metrics(run_dir, "dev")] == [1, 2]


def test_two_processes_do_not_train_in_one_directory(tmp_path: Path) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    run_dir = tmp_path / "run"
    config = tone_config(train_manifest, dev, training__epochs=1)
    with FileLock(run_dir / LOCK), pytest.raises(InputError, match="another process trains there"):
        train(run_dir, config)
    assert not (run_dir / "config.toml").exists()
    train(run_dir, config)
    before = (run_dir / "metrics.jsonl").read_bytes()
    with FileLock(run_dir / LOCK), pytest.raises(InputError, match="another process trains there"):
        train(run_dir, config)
    assert (run_dir / "metrics.jsonl").read_bytes() == before


def test_a_run_whose_minibatches_change_begins_its_epoch_again(tmp_path: Path) -> None:
    train_manifest, dev = tones(tmp_path, 6, 1)
    settings = tone_settings(train_manifest, dev, training__epochs=1, data__max_batch_size=1)
    run_dir, config = prepare_run_directory(QUICKSTART, tmp_path / "run", settings)
    train(run_dir, config)
    last = run_dir / "checkpoints" / LAST
    checkpoint = read_checkpoint(last)
    # The state after a stop after five of the second epoch's six minibatches.
    order = replace(checkpoint.progress, batch_index=5)
    write_checkpoint(last, replace(checkpoint, progress=order))
    larger = ["training.epochs=2", "data.max_batch_size=3", "data.batch_seconds=99"]
    train(*prepare_run_directory(run_dir, None, larger))
    assert read_checkpoint(last).progress.step == 6 + 2


def test_a_journal_begun_again_holds_no_line_twice_and_no_half_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, 0)
    for step in range(1, 7):
        journal.train(step, loss=1.0)
    journal.evaluated("dev", 4, summarise([]), epoch=1)
    journal.evaluated("dev", 5, summarise([]), epoch=1)
    journal.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tra')
    again = Journal(tmp_path, 5, 4)  # at step 5, before the evaluation after it
    again.train(6, loss=1.0)
    again.close()
    assert [line["step"] for line in metrics(tmp_path, "train")] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in metrics(tmp_path, "dev")] == [4]
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["dev-00000004.jsonl"]


def test_a_run_that_cannot_start_leaves_no_run(tmp_path: Path) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    config = tone_config(train_manifest, dev, training__init_from="absent")
    with pytest.raises(InputError, match="absent"):
        train(tmp_path / "run", config)
    assert not (tmp_path / "run" / "config.toml").exists()


def test_a_step_without_a_finite_loss_changes_nothing_and_names_the_utterance() -> None:
    config = tone_config(Path("a"), Path("b"))
    network, stepper = made_up_stepper(config)
    before = weights(network)
    # 40 frames give 20 outputs: too few for 30 labels, so that utterance's loss is infinite.
    result = stepper.step([made_up_batch(config, 30)], 2, 0, 0.1)
    assert result.skipped
    assert result.culprits == [0]
    assert changed(before, network) == set()
    poisoned = made_up_batch(config)
    poisoned.features[1, 3, 3] = math.nan
    assert stepper.step([poisoned], 2, 0, 0.1).skipped
    assert changed(before, network) == set()
    assert not stepper.step([made_up_batch(config)], 2, 1, 0.1).skipped
    assert changed(before, network) == set(before)


def test_a_run_whose_losses_stay_infinite_stops_with_advice(tmp_path: Path) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    config = tone_config(
        train_manifest,
        dev,
        training__learning_rate=1e30,
        training__warmup_steps=0,
        training__epochs=99,
        training__max_gradient_norm=1e30,
        data__max_batch_size=1,
        network__batch_norm=False,
    )
    with pytest.raises(InputError, match=r"lower training\.learning_rate"):
        train(tmp_path / "run", config)
    assert metrics(tmp_path / "run", "skipped")


@pytest.mark.slow
def test_an_empty_row_counts_for_nothing() -> None:
    # Not AdamW: its step for a mere rounding error is as large as for any other gradient.
    config = tone_config(Path("a"), Path("b"), training__optimiser="sgd")
    whole = made_up_batch(config)
    features = torch.cat([whole.features, torch.zeros(1, 40, config.network.num_bins)])
    with_empty = Batch(
        features,
        torch.tensor([40, 30, 0]),
        torch.cat([whole.labels, whole.labels[:1] * 0]),
        torch.tensor([3, 2, 0]),
        [0, 1, 2],
        ["x:1: unreadable"],
    )
    nothing = collate([], config.features)  # the share of a process without utterances
    assert made_up_stepper(config)[1].step([nothing], 2, 0, 0.01).loss == 0.0
    states, losses = [], []
    for batch in (whole, with_empty):
        network, stepper = made_up_stepper(config)
        result = stepper.step([batch], 2, 0, 0.01)
        losses.append(result.loss)
        states.append(network.state_dict())
        assert result.errors == batch.errors
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-4, atol=1e-5)


def test_accumulated_minibatches_step_as_their_mean() -> None:
    config = tone_config(Path("a"), Path("b"), network__batch_norm=False, training__optimiser="sgd")
    batch = made_up_batch(config)
    halves = [
        replace(
            batch,
            features=batch.features[i : i + 1],
            frame_lengths=batch.frame_lengths[i : i + 1],
            labels=batch.labels[i : i + 1],
            label_lengths=batch.label_lengths[i : i + 1],
            indices=[i],
        )
        for i in range(2)
    ]
    whole_network, whole = made_up_stepper(config)
    parts_network, parts = made_up_stepper(config)
    results = whole.step([batch], 2, 0, 0.01), parts.step(halves, 2, 0, 0.01)
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-5)
    for a, b in zip(whole_network.parameters(), parts_network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_fine_tuning_takes_all_weights_but_those_of_labels_that_are_new(
    tmp_path: Path,
) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    config = tone_config(train_manifest, dev, training__epochs=1)
    train(tmp_path / "old", config)
    old = read_checkpoint(tmp_path / "old" / "checkpoints" / BEST)

    network = Network(config.network, 29)
    assert begin_from(network, english_characters(), tmp_path / "old").startswith(
        "all weights from"
    )
    assert all(torch.equal(v, old.network[n]) for n, v in network.state_dict().items())

    alphabet = Alphabet("characters", "en", ("b", "é", "a"))
    network = Network(config.network, len(alphabet))
    before = weights(network)
    assert "the weights of 3 of 4 labels" in begin_from(network, alphabet, tmp_path / "old")
    assert torch.equal(network.recurrent[0].input_weight, old.network["recurrent.0.input_weight"])
    for part in ("output.weight", "output.bias"):
        blank, a, b = old.network[part][:3]
        assert torch.equal(network.state_dict()[part], torch.stack([blank, b, before[part][2], a]))

    alphabet = english_bigrams()
    network = Network(config.network, len(alphabet))
    before = weights(network)
    assert "the weights of 0 of 758 labels" in begin_from(network, alphabet, tmp_path / "old")
    assert not {n for n in changed(before, network) if n.startswith("output")}

    for change in ({"hidden_size": 9}, {"num_recurrent": 2}, {"lookahead": 0}):
        other = Network(replace(config.network, **change), 29)
        with pytest.raises(InputError, match="its network differs from this one in"):
            begin_from(other, english_characters(), tmp_path / "old")

    again = replace(config, training=replace(config.training, init_from=tmp_path / "old"))
    train(tmp_path / "new", again)
    assert metrics(tmp_path / "new", "dev")[0]["loss"] < metrics(tmp_path / "old", "dev")[0]["loss"]


def test_a_model_that_learns_from_few_texts_still_spells_all_others(tmp_path: Path) -> None:
    many = write_tones(tmp_path, "many", ["天地", "天气"])
    few = write_tones(tmp_path, "few", ["气早"])
    chinese = {"data__language": "zh", "training__epochs": 1}
    train(tmp_path / "old", tone_config(many, many, **chinese))
    old = read_checkpoint(tmp_path / "old" / "checkpoints" / LAST).alphabet
    begun = {**chinese, "training__init_from": str(tmp_path / "old")}
    train(tmp_path / "new", tone_config(few, few, **begun))
    new = read_checkpoint(tmp_path / "new" / "checkpoints" / LAST).alphabet
    assert new.symbols == (*old.symbols, "早")
    path = tmp_path / "alphabet.json"  # a file has the last word
    path.write_text(json.dumps(mandarin_characters(["气早"]).to_dict()))
    train(tmp_path / "named", tone_config(few, few, **begun, data__alphabet=str(path)))
    named = read_checkpoint(tmp_path / "named" / "checkpoints" / LAST).alphabet
    assert named == mandarin_characters(["气早"])


def test_frozen_parts_stay_as_they_are_running_averages_included() -> None:
    config = tone_config(Path("a"), Path("b"))
    torch.manual_seed(0)
    network = Network(config.network, 29)
    freeze(network, ("conv", "recurrent.0"))
    optimiser = build_optimisers(network, config.training)
    before = weights(network)
    stepper = Stepper(network, optimiser, config.training, Workers(), CPU, ("conv", "recurrent.0"))
    stepper.step([made_up_batch(config)], 2, 0, 0.01)
    assert changed(before, network) == {"lookahead.weight", "output.weight", "output.bias"}
    with pytest.raises(InputError, match=r"'convolution'.*conv"):
        freeze(network, ("convolution",))


def test_the_papers_rate_falls_by_its_divisor_after_each_epoch() -> None:
    config = TrainingConfig(
        optimiser="sgd", schedule="annealed", learning_rate=3e-4, warmup_steps=0
    )
    rates = [learning_rate(config, 10, epochs_done) for epochs_done in (0.0, 0.9, 1.0, 2.5)]
    assert rates == pytest.approx([3e-4, 3e-4, 3e-4 / 1.2, 3e-4 / 1.44])


@pytest.mark.parametrize("schedule", ["cosine", "inverse", "constant"])
def test_the_rate_rises_linearly_and_never_exceeds_its_setting(schedule: str) -> None:
    config = replace(TrainingConfig(learning_rate=1.0, warmup_steps=9), schedule=schedule)
    rates = [learning_rate(config, step, step / 10) for step in range(200)]
    rise = [rate / rates[0] for rate in rates[:9]]
    assert rise == pytest.approx(list(range(1, 10)), rel=0.05)
    assert max(rates) <= 1.0
    assert min(rates) > 0
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_long_gradient_is_scaled_to_the_norm_and_a_short_one_is_left() -> None:
    parameter = torch.zeros(2, requires_grad=True)
    parameter.grad = torch.tensor([3.0, 4.0])
    norm = float(gradient_norm([parameter]))
    assert norm == 5.0
    rescale_gradient([parameter], norm, 10.0)
    assert parameter.grad.tolist() == [3.0, 4.0]
    rescale_gradient([parameter], norm, 1.0)
    assert parameter.grad.tolist() == pytest.approx([0.6, 0.8])


def test_averaged_weights_are_the_mean_of_the_checkpoints(tmp_path: Path) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    train(tmp_path, tone_config(train_manifest, dev, training__epochs=2, training__average_last=2))
    paths = sorted((tmp_path / "checkpoints").glob("epoch-*"))
    parts = [read_checkpoint(path).network["output.weight"] for path in paths]
    mean = average_weights(paths)["output.weight"]
    torch.testing.assert_close(mean, (parts[0] + parts[1]) / 2)
    averaged = read_checkpoint(tmp_path / "checkpoints" / AVERAGED).network
    assert torch.equal(averaged["output.weight"], mean)


def test_bfloat16_trains_on_a_cpu() -> None:
    config = tone_config(Path("a"), Path("b"), training__bf16=True)
    network, stepper = made_up_stepper(config)
    losses = [stepper.step([made_up_batch(config)], 2, step, 0.01).loss for step in range(8)]
    assert losses[-1] < losses[0]
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_the_command_trains_and_goes_on_and_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_manifest, dev = tones(tmp_path, 2, 1)
    settings = tone_settings(train_manifest, dev, training__epochs=1)
    overrides = [part for setting in settings for part in ("--set", setting)]
    run_dir = str(tmp_path / "run")
    assert main(["train", str(QUICKSTART), "-o", run_dir, *overrides]) == 0
    assert main(["train", run_dir, "--set", "training.epochs=2"]) == 0
    assert [line["epoch"] for line in metrics(tmp_path / "run", "dev")] == [1, 2]
    capsys.readouterr()
    assert main(["train", str(tmp_path / "absent.toml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ds2: ")
    assert error.count("\n") == 1
    assert "absent.toml" in error
