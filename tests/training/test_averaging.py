"""Averaged weights: their values, their batch norm, and their use in evaluation and export."""

from pathlib import Path

import pytest
import torch

from aids.runs import records
from aids.tones import random_texts, tone_config, write_tones
from ds2.training.data.dataset import Batch
from ds2.training.network.network import Network
from ds2.training.optimisation.averaging import WeightAverage, renew_statistics
from ds2.training.run.checkpoint import BEST, LAST, load_network, read_checkpoint
from ds2.training.run.run import train

CPU = torch.device("cpu")


def made_up_batches(num_batches: int, num_bins: int) -> list[Batch]:
    torch.manual_seed(5)
    return [
        Batch(
            features=torch.randn(2, 50, num_bins),
            frame_lengths=torch.tensor([50, 40]),
            labels=torch.ones(2, 1, dtype=torch.int64),
            label_lengths=torch.tensor([1, 1]),
            indices=[0, 1],
            errors=[],
        )
        for _ in range(num_batches)
    ]


def weights_of(average: WeightAverage, network: Network) -> dict[str, torch.Tensor]:
    return {name: average.tensors[name] for name, _ in network.named_parameters()}


def test_the_average_follows_the_weights_quickly_at_first_and_slowly_later() -> None:
    network = Network(tone_config(Path("a"), Path("b")).network, 29)
    average = WeightAverage(network, 0.9, {})
    expected = torch.zeros_like(network.output.bias)
    for step in range(200):
        with torch.no_grad():
            network.output.bias.fill_(float(step))
        average.update(network)
        keep = min(0.9, step / (step + 10))
        expected = keep * expected + (1 - keep) * step
    torch.testing.assert_close(average.tensors["output.bias"], expected)
    # By then the average is 1 / (1 - decay) - 1 steps behind.
    assert float(expected[0]) == pytest.approx(199 - 9, abs=0.1)


def test_the_network_has_the_averaged_weights_for_a_while_and_its_own_again() -> None:
    config = tone_config(Path("a"), Path("b")).network
    network = Network(config, 29)
    average = WeightAverage(network, 0.5, {})
    average.update(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    batches = made_up_batches(4, config.num_bins)
    with average.applied(network):
        assert not torch.equal(network.output.bias, own["output.bias"])
        renew_statistics(network, batches, CPU)
        average.keep(network)
        # The statistics are those of the averaged weights on these minibatches.
        fresh = Network(config, 29)
        fresh.load_state_dict({**fresh.state_dict(), **weights_of(average, fresh)})
        renew_statistics(fresh, batches, CPU)
        for name, buffer in fresh.named_buffers():
            torch.testing.assert_close(average.tensors[name], buffer)
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())
    average.update(network)
    assert not any("running" in name for name in average.tensors)  # they no longer fit


def test_frozen_parts_keep_their_statistics() -> None:
    config = tone_config(Path("a"), Path("b")).network
    network = Network(config, 29)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    renew_statistics(network, made_up_batches(2, config.num_bins), CPU, ("conv",))
    changed = {n for n, buffer in network.named_buffers() if not torch.equal(buffer, before[n])}
    assert changed
    assert not {name for name in changed if name.startswith("conv")}


def test_evaluation_and_export_use_the_averaged_weights(tmp_path: Path) -> None:
    texts = random_texts(8)
    manifest = write_tones(tmp_path, "train", texts)
    config = tone_config(manifest, manifest, training__epochs=3, training__ema=0.9)
    train(tmp_path / "run", config)
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoint = read_checkpoint(checkpoints / LAST)
    assert not torch.equal(checkpoint.average["output.bias"], checkpoint.network["output.bias"])
    network, _ = load_network(checkpoints / LAST)
    for name, value in network.state_dict().items():
        assert torch.equal(value, checkpoint.average[name])
    name = "recurrent.0.batch_norm.running_var"
    assert not torch.equal(checkpoint.average[name], checkpoint.network[name])
    # The loss in the journal is that of these weights.
    from ds2.training.run.distributed import Workers
    from ds2.training.run.evaluate import Evaluator
    from ds2.training.run.parts import load_data

    data = load_data(config, tmp_path, None)
    evaluation = Evaluator(data.dev, data.alphabet, config, Workers(), CPU).evaluate(network)
    assert evaluation is not None
    assert records(tmp_path / "run", "dev")[-1]["loss"] == pytest.approx(evaluation.loss)
    assert (checkpoints / BEST).is_file()
