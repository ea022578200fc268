"""Compare each layer with a slow and obvious version, in float64, with gradients."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aids import reference
from ds2.training.network.batch_norm import BatchNorm
from ds2.training.network.config import NUM_GATES, ConvolutionConfig, Kind
from ds2.training.network.layers import (
    Convolution,
    FullyConnected,
    Lookahead,
    Recurrent,
    reverse_frames,
    valid_frames,
)
from ds2.training.network.recurrence import CLIP, fused, walk

LENGTHS = torch.tensor([7, 4, 1])
KINDS = pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def recurrent_layer(kind: Kind, bidirectional: bool, batch_norm: bool = True) -> Recurrent:
    layer = Recurrent(kind, 5, 6, bidirectional, batch_norm).double()
    if layer.batch_norm is not None:
        torch.nn.init.uniform_(layer.batch_norm.gamma, 0.5, 1.5)
        torch.nn.init.normal_(layer.batch_norm.beta)
    return layer


def frames_like(lengths: Tensor, width: int, padding: int = 2) -> Tensor:
    """Random inputs (T, B, width), 0 where padded, that autograd follows."""
    frames = torch.randn(int(lengths.max()) + padding, len(lengths), width, dtype=torch.float64)
    valid = valid_frames(lengths, len(frames)).T[:, :, None]
    return (frames * valid).requires_grad_()


@KINDS
@DIRECTIONS
def test_a_recurrent_layer_equals_a_loop_over_time(kind: Kind, bidirectional: bool) -> None:
    layer = recurrent_layer(kind, bidirectional)
    inputs = frames_like(LENGTHS, 5)
    parameters = [inputs, *layer.parameters()]
    states = layer(inputs, LENGTHS)
    weighting = torch.randn_like(states)
    loss = (states.sin() * weighting).sum()

    assert layer.batch_norm is not None
    expected = torch.zeros_like(states)
    utterances = [inputs[:length, b] for b, length in enumerate(LENGTHS)]
    gain, offset = layer.batch_norm.gamma, layer.batch_norm.beta
    slow = reference.recurrent_layer(
        kind, utterances, layer.input_weight, layer.recurrent_weights(), gain, offset
    )
    for b, utterance in enumerate(slow):
        expected[: len(utterance), b] = utterance
    expected_loss = (expected.sin() * weighting).sum()

    torch.testing.assert_close(states, expected, rtol=0, atol=1e-12)
    for gradient, expected_gradient in zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(expected_loss, parameters),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-10)


@KINDS
@DIRECTIONS
@pytest.mark.parametrize("batch_norm", [True, False], ids=["batch norm", "bias"])
def test_fused_kernels_with_derived_weights_give_the_same(
    kind: Kind, bidirectional: bool, batch_norm: bool
) -> None:
    layer = recurrent_layer(kind, bidirectional, batch_norm)
    inputs = frames_like(LENGTHS, 5)
    valid = valid_frames(LENGTHS, len(inputs)).T[:, :, None]
    parameters = [inputs, *layer.parameters()]
    outcomes = []
    for states in (
        layer(inputs, LENGTHS),
        layer.fused_states(inputs, LENGTHS, valid) * valid,  # the code that a GPU runs
    ):
        outcomes.append([states, *torch.autograd.grad(states.sin().sum(), parameters)])
    torch.testing.assert_close(*outcomes, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["rnn", "gru"])
@pytest.mark.parametrize("size", [0.3, 10.0], ids=["within the clip", "beyond the clip"])
def test_walked_and_fused_kernels_are_the_same_function(kind: Kind, size: float) -> None:
    inputs = frames_like(LENGTHS, 5)
    input_weight = (size * torch.randn(NUM_GATES[kind] * 6, 5)).double().requires_grad_()
    bias = torch.randn(NUM_GATES[kind] * 6).double().requires_grad_()
    weight = (0.3 * torch.randn(NUM_GATES[kind] * 6, 6)).double().requires_grad_()
    states = fused(kind, inputs, input_weight, bias, weight)
    projected = F.linear(inputs, input_weight, bias)
    walked = walk(kind, projected[:, None], weight[None])[:, 0]
    if kind == "rnn":
        assert (states.max() == CLIP) == (size > 1)
    torch.testing.assert_close(states, walked, rtol=0, atol=1e-12)
    parameters = [inputs, input_weight, bias, weight]
    for gradient, expected_gradient in zip(
        torch.autograd.grad(walked.sin().sum(), parameters),
        torch.autograd.grad(states.sin().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-10)


@KINDS
@DIRECTIONS
@pytest.mark.parametrize("batch_norm", [True, False], ids=["batch norm", "bias"])
def test_half_precision_stays_near_float32(
    kind: Kind, bidirectional: bool, batch_norm: bool
) -> None:
    layer = recurrent_layer(kind, bidirectional, batch_norm).float()
    inputs = frames_like(LENGTHS, 5).detach().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = layer(inputs, LENGTHS)
    states.sum().backward()
    torch.testing.assert_close(states.float(), layer(inputs, LENGTHS), rtol=0.05, atol=0.05)
    assert all(parameter.grad is not None for parameter in layer.parameters())
    if layer.batch_norm is not None:
        assert layer.batch_norm.running_mean.dtype == torch.float32


@KINDS
@DIRECTIONS
@pytest.mark.parametrize("batch_norm", [True, False], ids=["batch norm", "bias"])
def test_padding_changes_nothing_in_training_or_evaluation(
    kind: Kind, bidirectional: bool, batch_norm: bool
) -> None:
    layer = recurrent_layer(kind, bidirectional, batch_norm)
    inputs = frames_like(LENGTHS, 5, padding=0).detach()
    padded = F.pad(inputs, (0, 0, 0, 0, 0, 4))
    for training in (True, False):
        layer.train(training)
        states = layer(padded, LENGTHS)
        torch.testing.assert_close(states[:7], layer(inputs, LENGTHS), rtol=0, atol=1e-12)
        assert not states[~valid_frames(LENGTHS, 11).T].any()


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_reversing_frames_twice_changes_nothing(lengths: list[int]) -> None:
    frames = torch.arange(9.0)[:, None, None] + torch.zeros(9, len(lengths), 2)
    turned = reverse_frames(frames, torch.tensor(lengths))
    assert torch.equal(reverse_frames(turned, torch.tensor(lengths)), frames)
    for b, length in enumerate(lengths):
        assert turned[:, b, 0].tolist() == [*range(length - 1, -1, -1), *range(length, 9)]


@pytest.mark.parametrize("kernel", [(5, 3), (0, 5), (1, 1)], ids=["2-D", "1-D", "a point"])
@pytest.mark.parametrize("time_stride", [1, 2, 3])
def test_a_convolution_normalises_its_valid_frames(
    kernel: tuple[int, int], time_stride: int
) -> None:
    config = ConvolutionConfig(4, kernel, (1 if kernel[0] == 0 else 2, time_stride))
    layer = Convolution(config, 3, 9, batch_norm=True).double()
    torch.nn.init.uniform_(layer.batch_norm.gamma, 0.5, 1.5)
    torch.nn.init.normal_(layer.batch_norm.beta)
    values = frames_like(LENGTHS, 27).permute(1, 2, 0).unflatten(1, (3, 9))  # (B, C, F, T)
    outputs, lengths = layer(values, LENGTHS)

    weight = layer.weight.detach().numpy()
    slow = [
        torch.from_numpy(
            reference.convolution(
                utterance[..., :length].detach().numpy(), weight, config.stride, config.is_1d
            )
        )
        for utterance, length in zip(values, LENGTHS, strict=True)
    ]
    assert lengths.tolist() == [utterance.shape[2] for utterance in slow]
    every = torch.cat([utterance.flatten(1) for utterance in slow], 1)  # (C, values)
    scale = layer.batch_norm.gamma / (every.var(1, unbiased=False) + BatchNorm.EPSILON).sqrt()
    shift = layer.batch_norm.beta - scale * every.mean(1)
    for output, utterance in zip(outputs, slow, strict=True):
        expected = (utterance * scale[:, None, None] + shift[:, None, None]).clamp(0, CLIP)
        frames = utterance.shape[2]
        torch.testing.assert_close(output[..., :frames], expected, rtol=0, atol=1e-12)
        assert not output[..., frames:].any()


def test_gradients_through_the_statistics_are_right() -> None:
    convolution = Convolution(ConvolutionConfig(2, (3, 3), (2, 2)), 1, 4, True).double()
    values = frames_like(LENGTHS, 4).permute(1, 2, 0)[:, None].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: convolution(x, LENGTHS)[0].sin(), values)
    layer = FullyConnected(3, 4, batch_norm=True).double()
    frames = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([True, True, False, True, True, True])
    assert torch.autograd.gradcheck(lambda x: layer(x, valid, valid.sum())[valid].sin(), frames)


def test_a_fully_connected_layer_is_what_torch_would_make_of_it() -> None:
    layer = FullyConnected(3, 4, batch_norm=True).double()
    frames = 9 * torch.randn(50, 3, dtype=torch.float64)
    valid = torch.arange(50) % 5 > 0
    normalised = F.batch_norm(F.linear(frames[valid], layer.weight), None, None, training=True)
    found = layer(frames, valid, valid.sum())[valid]
    torch.testing.assert_close(found, normalised.clamp(0, CLIP), rtol=0, atol=1e-10)


def test_the_lookahead_begins_as_the_identity_and_sees_its_future_only() -> None:
    layer = Lookahead(4, tau=2).double()
    states = frames_like(LENGTHS, 4)
    torch.testing.assert_close(layer(states), states)
    torch.nn.init.normal_(layer.weight)
    weight = layer.weight
    for t in range(len(states)):
        future = states[t : t + 3]
        expected = sum(weight[:, j] * frame for j, frame in enumerate(future))
        torch.testing.assert_close(layer(states)[t], expected, rtol=0, atol=1e-12)


def test_running_averages_begin_as_the_mean_of_the_batches() -> None:
    norm = BatchNorm(2).double()
    means = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]]).double()
    for mean in means:
        norm.map_of(mean, 2 * mean)
    torch.testing.assert_close(norm.running_mean, means.mean(0))
    torch.testing.assert_close(norm.running_var, 2 * means.mean(0))
    for _ in range(400):
        norm.map_of(torch.ones(2).double(), torch.ones(2).double())
    torch.testing.assert_close(norm.running_mean, torch.ones(2).double(), rtol=0, atol=1e-6)


@KINDS
def test_after_one_batch_evaluation_gives_what_training_gave(kind: Kind) -> None:
    layer = recurrent_layer(kind, bidirectional=True)
    inputs = frames_like(LENGTHS, 5)
    trained = layer(inputs, LENGTHS)
    torch.testing.assert_close(layer.eval()(inputs, LENGTHS), trained)


class Outcome(NamedTuple):
    loss: Tensor
    gradients: list[Tensor]
    averages: list[Tensor]  # the running averages, and their number of batches


def _small_stack(inputs: Tensor, lengths: Tensor) -> Outcome:
    """A loss summed over utterances, through every kind of layer, from fixed weights."""
    torch.manual_seed(5)
    convolution = Convolution(ConvolutionConfig(2, (3, 3), (2, 2)), 1, 6, True).double()
    walked = Recurrent("gru", 6, 4, bidirectional=True, batch_norm=True).double()
    fused_one = Recurrent("lstm", 4, 4, bidirectional=False, batch_norm=True).double()
    connected = FullyConnected(4, 3, batch_norm=True).double()
    layers = torch.nn.ModuleList([convolution, walked, fused_one, connected])
    values, lengths = convolution(inputs, lengths)
    states = walked(values.flatten(1, 2).permute(2, 0, 1), lengths)
    states = fused_one(states, lengths)  # (T, B, H)
    valid = valid_frames(lengths, len(states)).T.flatten()
    loss = connected(states.flatten(0, 1), valid, lengths.sum())[valid].sin().sum()
    loss.backward()
    gradients = [parameter.grad for parameter in layers.parameters()]
    return Outcome(loss.detach(), gradients, list(layers.buffers()))


def _run_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", rank=rank, world_size=2, store=store)
    batch = torch.load(f"{folder}/batch.pt")
    inputs, lengths = (part[:1] if rank == 0 else part[1:] for part in batch)
    torch.save(tuple(_small_stack(inputs, lengths)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    lengths = torch.tensor([11, 7, 4])
    inputs = frames_like(lengths, 6).permute(1, 2, 0)[:, None].detach()  # (B, 1, F, T)
    torch.save((inputs, lengths), tmp_path / "batch.pt")
    mp.spawn(_run_process, (str(tmp_path),), nprocs=2)
    first, second = (Outcome(*torch.load(tmp_path / f"{rank}.pt")) for rank in (0, 1))
    whole = _small_stack(inputs, lengths)
    torch.testing.assert_close(first.loss + second.loss, whole.loss)
    for one, other, expected in zip(
        first.gradients, second.gradients, whole.gradients, strict=True
    ):
        torch.testing.assert_close(one + other, expected)
    torch.testing.assert_close(first.averages, whole.averages)
    torch.testing.assert_close(second.averages, whole.averages)


def test_statistics_of_a_large_batch_are_exact_in_float32() -> None:
    norm = BatchNorm(3)
    values = 2 + 0.5 * torch.randn(16, 3, 81, 1000)  # as many values as speech gives a channel
    norm.normalise(values, torch.ones(16, 1, 1, 1, dtype=torch.bool), torch.tensor(16 * 81 * 1000))
    exact = torch.var_mean(values.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(norm.running_var.double(), exact[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(norm.running_mean.double(), exact[1], rtol=1e-5, atol=0)
