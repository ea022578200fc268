"""The whole network: its arithmetic, its presets, and things that must not matter."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from aids import reference
from ds2.settings import settings_from, settings_to_dict
from ds2.training.network.config import PRESETS, ConvolutionConfig, NetworkConfig
from ds2.training.network.loss import ctc_loss
from ds2.training.network.network import Network

TINY = NetworkConfig(
    convolutions=(ConvolutionConfig(3, (5, 5), (2, 2)), ConvolutionConfig(4, (3, 3), (2, 1))),
    recurrent="gru",
    hidden_size=6,
    num_recurrent=2,
    lookahead=3,
    fully_connected=(5,),
    num_bins=9,
)
VARIANTS = {
    "gru": TINY,
    "rnn": replace(TINY, recurrent="rnn"),
    "lstm": replace(TINY, recurrent="lstm"),
    "bidirectional gru": replace(TINY, bidirectional=True, lookahead=0),
    "bidirectional rnn": replace(TINY, bidirectional=True, lookahead=0, recurrent="rnn"),
    "bidirectional lstm": replace(TINY, bidirectional=True, lookahead=0, recurrent="lstm"),
    "no batch norm": replace(TINY, batch_norm=False),
    "1-D convolutions": replace(
        TINY, convolutions=(ConvolutionConfig(7, (0, 5)), ConvolutionConfig(4, (0, 3), (1, 3)))
    ),
    "1-D over 2-D": replace(
        TINY, convolutions=(*TINY.convolutions, ConvolutionConfig(5, (0, 3), (1, 2)))
    ),
    "bare": replace(TINY, lookahead=0, fully_connected=(), num_recurrent=1),
}
EVERY_VARIANT = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
LENGTHS = torch.tensor([23, 16, 1])


def network_of(config: NetworkConfig, num_labels: int = 4) -> Network:
    """A network that has seen a batch, so that its running averages are not trivial."""
    torch.manual_seed(0)
    network = Network(config, num_labels)
    for name, parameter in network.named_parameters():
        if name.endswith(("gamma", "beta", "bias", "lookahead.weight")):
            torch.nn.init.uniform_(parameter, 0.3, 1.2)
    network(torch.randn(4, 40, config.num_bins), torch.tensor([40, 33, 21, 11]))
    return network.eval()


@pytest.mark.slow
@EVERY_VARIANT
def test_the_network_is_what_its_inference_weights_say(config: NetworkConfig) -> None:
    network = network_of(config)
    features = torch.randn(3, 25, config.num_bins)
    with torch.no_grad():
        log_probs, lengths = network(features, LENGTHS)
    weights = network.inference_weights()
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert log_probs.dtype == torch.float32
    for b, length in enumerate(LENGTHS):
        expected = reference.network_log_probs(config, weights, features[b, :length].numpy())
        assert len(expected) == lengths[b]
        np.testing.assert_allclose(log_probs[b, : len(expected)], expected, atol=2e-5)
        assert not log_probs[b, len(expected) :].any()


def test_inference_weights_are_named_for_export_and_stay_when_training_goes_on() -> None:
    network = network_of(VARIANTS["bidirectional gru"]).train()
    weights = network.inference_weights()
    before = {name: value.copy() for name, value in weights.items()}
    assert network.training
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(np.array_equal(weights[name], value) for name, value in before.items())
    names = {f"recurrent.1.{d}.{p}_{s}" for d in ("fwd", "bwd") for p in ("weight", "bias")
             for s in ("ih", "hh")}  # fmt: skip
    assert names < set(weights)
    assert np.array_equal(
        weights["recurrent.1.fwd.weight_ih"], weights["recurrent.1.bwd.weight_ih"]
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    variant=st.sampled_from(sorted(VARIANTS)),
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    padding=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_padding_and_batch_mates_change_nothing(
    variant: str, lengths: list[int], padding: int, seed: int
) -> None:
    network = network_of(VARIANTS[variant]).double()
    generator = torch.Generator().manual_seed(seed)
    frames = [torch.randn(n, 9, generator=generator, dtype=torch.float64) for n in lengths]
    batch = torch.full((len(frames), max(lengths) + padding, 9), torch.nan, dtype=torch.float64)
    for row, utterance in zip(batch, frames, strict=True):
        row[: len(utterance)] = utterance
    with torch.no_grad():
        log_probs, output_lengths = network(batch, torch.tensor(lengths))
        for b, utterance in enumerate(frames):
            alone, length = network(utterance[None], torch.tensor([len(utterance)]))
            assert length == output_lengths[b]
            torch.testing.assert_close(log_probs[b, :length], alone[0], rtol=0, atol=1e-10)


@pytest.mark.slow
@EVERY_VARIANT
def test_an_utterance_that_is_not_there_changes_nothing(config: NetworkConfig) -> None:
    network = network_of(config).double().train()
    features = torch.randn(3, 23, config.num_bins, dtype=torch.float64)
    expected = network(features[:2], LENGTHS[:2])[0]
    log_probs, lengths = network(features, torch.tensor([*LENGTHS[:2], 0]))
    torch.testing.assert_close(log_probs[:2], expected, rtol=0, atol=1e-10)
    assert lengths[2] == 0
    log_probs, _ = network(features[:1], torch.tensor([0]))
    log_probs.sum().backward()
    assert not log_probs.any()
    assert all(buffer.isfinite().all() for buffer in network.buffers())


@EVERY_VARIANT
def test_padding_changes_no_loss_and_no_gradient_in_training(config: NetworkConfig) -> None:
    network = network_of(config).double().train()
    features = torch.randn(3, 23, config.num_bins, dtype=torch.float64)
    labels, label_lengths = torch.tensor([[1, 2], [3, 1], [2, 0]]), torch.tensor([2, 2, 1])
    outcomes = []
    for padded in (features, F.pad(features, (0, 0, 0, 8), value=7.0)):
        network.zero_grad()
        log_probs, lengths = network(padded, LENGTHS)
        loss = ctc_loss(log_probs, lengths, labels, label_lengths)
        loss.backward()
        outcomes.append([loss.detach(), *(weight.grad for weight in network.parameters())])
    torch.testing.assert_close(*outcomes, rtol=0, atol=1e-10)


@pytest.mark.slow
@settings(deadline=None)
@given(
    strides=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    taps=st.lists(st.sampled_from([1, 3, 5, 11]), min_size=3, max_size=3),
    num_frames=st.integers(1, 60),
)
def test_output_lengths_are_those_of_the_convolutions(
    strides: list[int], taps: list[int], num_frames: int
) -> None:
    convolutions = tuple(
        ConvolutionConfig(1, (0, num_taps), (1, stride))
        for num_taps, stride in zip(taps, strides, strict=False)
    )
    config = replace(TINY, convolutions=convolutions)
    log_probs, lengths = network_of(config)(
        torch.randn(1, num_frames, 9), torch.tensor([num_frames])
    )
    assert lengths.item() == log_probs.shape[1] == config.output_lengths(num_frames)
    assert lengths.dtype == torch.int64
    assert np.array_equal(config.output_lengths(np.array([num_frames])), lengths.numpy())


@pytest.mark.parametrize("variant", ["gru", "no batch norm", "1-D over 2-D", "bare"])
def test_an_output_hears_its_right_context_and_no_further(variant: str) -> None:
    config = VARIANTS[variant]
    features = torch.randn(1, 60, 9, requires_grad=True)
    log_probs, _ = network_of(config)(features, torch.tensor([60]))
    for j in (0, 2, 5):
        (gradient,) = torch.autograd.grad(log_probs[0, j].sum(), features, retain_graph=True)
        last = int(gradient[0].abs().sum(1).nonzero().max())
        assert last == j * config.time_stride + config.right_context_frames


@pytest.mark.parametrize(
    ("preset", "num_labels", "millions"),
    [
        ("ablation-5-layers-1-recurrent", 29, 38.9),
        ("ablation-5-layers-3-recurrent", 29, 38.7),
        ("ablation-7-layers", 29, 39.2),
        ("ablation-9-layers", 29, 38.3),
        ("baseline", 29, 67.7),
        ("english-11-layers", 29, 100.4),
        ("english-streaming", 29, 115.5),
        ("mandarin-research", 6000, 78.3),
        ("small", 29, 5.1),
        ("medium", 29, 20.0),
    ],
)
def test_presets_have_the_sizes_of_the_paper(preset: str, num_labels: int, millions: float) -> None:
    assert PRESETS[preset].num_parameters(num_labels) == pytest.approx(1e6 * millions, rel=0.01)


@EVERY_VARIANT
def test_counted_parameters_are_the_networks(config: NetworkConfig) -> None:
    network = Network(config, 7)
    assert config.num_parameters(7) == sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_being_written_down(preset: str) -> None:
    config = PRESETS[preset]
    assert settings_from(NetworkConfig, settings_to_dict(config), "run.toml") == config
    assert config.bidirectional or config.right_context_frames > 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"convolutions": ()}, "convolutions"),
        ({"recurrent": "mlp"}, "recurrent"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"num_recurrent": 0}, "num_recurrent"),
        ({"num_bins": 0}, "num_bins"),
        ({"lookahead": -1}, "lookahead"),
        ({"lookahead": 2, "bidirectional": True}, "lookahead"),
        ({"fully_connected": (0,)}, "fully_connected"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_an_impossible_network_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        replace(TINY, **wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"channels": 0}, "channels"),
        ({"kernel": (5, 4)}, "kernel"),
        ({"kernel": (4, 5)}, "kernel"),
        ({"stride": (1, 0)}, "stride"),
        ({"kernel": (0, 5), "stride": (2, 1)}, "stride"),
    ],
)
def test_an_impossible_convolution_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        replace(TINY.convolutions[0], **wrong)


def test_dropout_acts_in_training_only() -> None:
    network = network_of(replace(TINY, dropout=0.5))
    features, lengths = torch.randn(1, 20, 9), torch.tensor([20])
    assert torch.equal(network(features, lengths)[0], network(features, lengths)[0])
    network.train()
    assert not torch.equal(network(features, lengths)[0], network(features, lengths)[0])


@pytest.mark.slow
def test_a_network_learns_a_batch_by_heart() -> None:
    torch.manual_seed(1)
    network = Network(replace(TINY, hidden_size=24), 4)
    features, lengths = torch.randn(2, 30, 9), torch.tensor([30, 22])
    labels, label_lengths = torch.tensor([[1, 2, 3, 1], [2, 2, 1, 0]]), torch.tensor([4, 3])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(100):
        optimiser.zero_grad()
        loss = ctc_loss(*network(features, lengths), labels, label_lengths)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2
    assert network.eval()(features, lengths)[0].isfinite().all()


@pytest.mark.parametrize("variant", ["gru", "rnn", "bidirectional gru", "1-D over 2-D", "bare"])
def test_counted_macs_are_the_multiplications_that_torch_does(variant: str) -> None:
    config = VARIANTS[variant]
    network = network_of(config)
    num_seconds = 4  # a multiple of every time stride
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.randn(1, 100 * num_seconds, 9), torch.tensor([100 * num_seconds]))
    macs = counter.get_total_flops() / 2
    assert config.macs_per_second(4) * num_seconds == pytest.approx(macs, rel=0.005)
