"""The fast code for CPUs: compiled loops and reordered products give the right results."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ds2.training.network import recurrence
from ds2.training.network.batch_norm import BatchNorm
from ds2.training.network.layers import clipped_relu
from ds2.training.network.products import channels_last, convolve, product_with

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.05}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def outcomes(function: Any, parameters: list[Tensor], weighting: Tensor) -> list[Tensor]:
    result = function(*parameters)
    gradients = torch.autograd.grad((result.double() * weighting).sum(), parameters)
    return [tensor.double() for tensor in (result, *gradients)]


def assert_all_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_gru_by_loops_is_the_gru_of_float64(directions: int, precision: torch.dtype) -> None:
    projected = torch.randn(30, directions, 3, 3 * 37) * 3
    weight = torch.randn(directions, 3 * 37, 37) / 6
    weighting = torch.randn(30, directions, 3, 37, dtype=torch.float64)
    found, expected = (
        outcomes(
            walk,
            [projected.to(states).requires_grad_(), weight.to(products).requires_grad_()],
            weighting,
        )
        for walk, states, products in (
            (recurrence._WalkGruByLoops.apply, torch.float32, precision),
            (recurrence._WalkGru.apply, torch.float64, torch.float64),
        )
    )
    assert_all_close(found, expected, TOLERANCES[precision])


@pytest.mark.parametrize("clip", [float("inf"), 20.0])
@pytest.mark.parametrize("shape", [(500, 32), (70, 100), (1, 5)])
def test_normalising_rows_is_normalising_clipping_and_masking(
    shape: tuple[int, int], clip: float
) -> None:
    rows, units = shape
    values = 8 * torch.randn(shape, dtype=torch.float64) + 30
    valid = torch.rand(rows) < 0.8
    weighting = torch.randn(shape, dtype=torch.float64)
    norms = [BatchNorm(units).double() for _ in range(3)]
    for norm in norms:
        torch.manual_seed(1)
        torch.nn.init.uniform_(norm.gamma, 5, 15)
        torch.nn.init.normal_(norm.beta)

    def plainly(values: Tensor, *_: Tensor) -> Tensor:
        normalised = norms[0].normalise(values, valid[:, None], valid.sum())
        return (normalised if clip == float("inf") else clipped_relu(normalised)) * valid[:, None]

    parameters = [values.requires_grad_(), norms[0].gamma, norms[0].beta]
    expected = outcomes(plainly, parameters, weighting)
    for norm, precision, tolerance in (
        (norms[1], torch.float64, 1e-12),
        (norms[2].float(), torch.float32, 1e-4),
    ):
        parameters = [values.detach().to(precision).requires_grad_(), norm.gamma, norm.beta]
        found = outcomes(
            lambda v, *_, norm=norm: norm.normalise_rows(v, valid, valid.sum(), clip=clip),
            parameters,
            weighting,
        )
        assert_all_close(found, expected, tolerance)
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(
                getattr(norm, name).double(), getattr(norms[0], name), rtol=1e-4, atol=1e-6
            )


def test_the_number_of_threads_changes_no_bit_of_a_batch_norm() -> None:
    values, valid = torch.randn(200, 96, requires_grad=True), torch.rand(200) < 0.9
    weighting = torch.randn(200, 96)
    before = torch.get_num_threads()
    found = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            norm = BatchNorm(96)
            result = norm.normalise_rows(values, valid, valid.sum(), clip=20.0)
            parameters = [values, norm.gamma, norm.beta]
            found.append([result, *torch.autograd.grad((result * weighting).sum(), parameters)])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_a_convolution_is_torchs(channels: int, half: bool) -> None:
    values = torch.randn(3, channels, 21, 30, requires_grad=True)
    weight = (torch.randn(8, channels, 5, 3) / 4).requires_grad_()
    expected = outcomes(
        lambda v, w: F.conv2d(v.double(), w.double(), None, (2, 3), (2, 1)),
        [values, weight],
        weighting := torch.randn(3, 8, 11, 10, dtype=torch.float64),
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = outcomes(
            lambda v, w: convolve(channels_last(v), w, (2, 3), (2, 1)), [values, weight], weighting
        )
    assert_all_close(found, expected, TOLERANCES[torch.bfloat16 if half else torch.float32])


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("precision", [torch.float64, torch.float32, torch.bfloat16])
def test_a_product_made_ready_is_the_product(directions: int, precision: torch.dtype) -> None:
    weight = torch.randn(directions, 48, 20).to(precision)
    values = torch.randn(directions, 5, 20)
    times = product_with(weight, 5)
    if precision == torch.bfloat16:
        expected = torch.bmm(values.double(), weight.double().transpose(1, 2))
        torch.testing.assert_close(times(values).double(), expected, rtol=0.02, atol=0.1)
    else:
        values = values.to(precision)
        expected = torch.bmm(values, weight.transpose(1, 2))
        torch.testing.assert_close(times(values), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(times(values), times(values))
