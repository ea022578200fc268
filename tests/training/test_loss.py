"""Compare the CTC loss with enumeration, values by hand, and published values."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aids import reference
from ds2.training.network.loss import ctc_loss, ctc_losses, fits, frames_needed

LABELS = st.lists(st.integers(1, 3), min_size=1, max_size=3)


def losses_of(log_probs: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """The loss of one utterance, (1,); log_probs: (T, V)."""
    lengths = torch.tensor([len(log_probs)]), torch.tensor([len(labels)])
    return ctc_losses(log_probs[None], lengths[0], torch.tensor([labels]), lengths[1])


@settings(deadline=None, max_examples=60)
@given(labels=LABELS, num_frames=st.integers(1, 5), seed=st.integers(0, 999))
def test_the_loss_adds_up_all_alignments(labels: list[int], num_frames: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(num_frames, 4))
    log_probs = torch.from_numpy(logits).log_softmax(1)
    expected = reference.ctc_loss(log_probs.numpy(), labels)
    assert losses_of(log_probs, labels).item() == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(labels=LABELS, num_frames=st.integers(1, 6))
def test_labels_fit_exactly_when_an_alignment_exists(labels: list[int], num_frames: int) -> None:
    exists = bool(reference.ctc_alignments(num_frames, labels, 4))
    assert fits(num_frames, labels) == exists
    assert fits(num_frames, torch.tensor(labels)) == exists
    assert math.isfinite(losses_of(torch.full((num_frames, 4), 0.25).log(), labels)) == exists


def test_repeats_need_a_blank_between_them() -> None:
    assert frames_needed([1, 2, 3]) == 3
    assert frames_needed([1, 1, 1]) == 5
    assert frames_needed([]) == 0


@pytest.mark.parametrize(
    ("labels", "num_alignments"),
    [([1, 2], 5), ([1, 1], 1), ([1], 6), ([1, 2, 3], 1)],
    ids=["two", "a repeat", "one", "three"],
)
def test_uniform_frames_count_their_alignments(labels: list[int], num_alignments: int) -> None:
    loss = losses_of(torch.full((3, 4), 0.25).log(), labels)
    assert loss.item() == pytest.approx(-math.log(num_alignments * 0.25**3), abs=1e-6)


# Activations (as probabilities), losses and gradients published with warp-ctc's CPU tests, there
# from TensorFlow; frames, then two utterances, then six labels of which the last is the blank.
WARP_CTC_PROBS = [
    [[0.633766, 0.221185, 0.0917319, 0.0129757, 0.0142857, 0.0260553],
     [0.30176, 0.28562, 0.0831517, 0.0862751, 0.0816851, 0.161508]],
    [[0.111121, 0.588392, 0.278779, 0.0055756, 0.00569609, 0.010436],
     [0.24082, 0.397533, 0.0557226, 0.0546814, 0.0557528, 0.19549]],
    [[0.0357786, 0.633813, 0.321418, 0.00249248, 0.00272882, 0.0037688],
     [0.230246, 0.450868, 0.0389607, 0.038309, 0.0391602, 0.202456]],
    [[0.0663296, 0.643849, 0.280111, 0.00283995, 0.0035545, 0.00331533],
     [0.280884, 0.429522, 0.0326593, 0.0339046, 0.0326856, 0.190345]],
    [[0.458235, 0.396634, 0.123377, 0.00648837, 0.00903441, 0.00623107],
     [0.423286, 0.315517, 0.0338439, 0.0393744, 0.0339315, 0.154046]],
]  # fmt: skip


def test_the_loss_and_its_gradient_are_those_published_with_warp_ctc() -> None:
    probs = torch.tensor(WARP_CTC_PROBS, dtype=torch.float64).roll(1, dims=2)  # blank to label 0
    activations = probs.log().transpose(0, 1).requires_grad_()  # (B, T, V)
    labels = torch.tensor([[0, 1, 2, 1, 0], [0, 1, 1, 0, 0]]) + 1
    lengths, label_lengths = torch.tensor([5, 5]), torch.tensor([5, 4])
    losses = ctc_losses(activations.log_softmax(2), lengths, labels, label_lengths)
    path = [0.633766, 0.588392, 0.321418, 0.643849, 0.458235]  # only one alignment is possible
    assert losses.tolist() == pytest.approx([-math.log(math.prod(path)), 5.42262], abs=1e-4)

    losses.sum().backward()
    # Both utterances have one alignment, so the gradient is the probabilities minus its labels.
    gradient = probs.transpose(0, 1).clone()
    for utterance, path_labels in enumerate([[1, 2, 3, 2, 1], [1, 2, 0, 2, 1]]):
        gradient[utterance, torch.arange(5), path_labels] -= 1
    torch.testing.assert_close(activations.grad, gradient, atol=1e-4, rtol=0)


def test_an_utterance_that_does_not_fit_is_noticed() -> None:
    log_probs = torch.full((2, 3, 4), 0.25).log()
    labels, label_lengths = torch.tensor([[1, 2], [1, 1]]), torch.tensor([2, 2])
    losses = ctc_losses(log_probs, torch.tensor([2, 2]), labels, label_lengths)
    assert losses.isfinite().tolist() == [True, False]


def test_a_symbol_of_no_probability_gives_an_infinite_loss_and_no_nan() -> None:
    activations = torch.zeros(1, 50, 15)
    activations[:, :, 2] = -1e30
    loss = losses_of(activations.log_softmax(2)[0], [2, *range(3, 12)])
    assert loss.item() > 1e29


def test_the_loss_of_a_batch_is_the_mean_of_its_utterances() -> None:
    log_probs = torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    lengths, label_lengths = torch.tensor([12, 9, 7]), torch.tensor([4, 3, 1])
    padded = torch.tensor([[1, 2, 3, 4], [2, 2, 1, 0], [3, 0, 0, 0]])
    joined = torch.tensor([1, 2, 3, 4, 2, 2, 1, 3])
    losses = [losses_of(log_probs[0], [1, 2, 3, 4]), losses_of(log_probs[1, :9], [2, 2, 1])]
    losses.append(losses_of(log_probs[2, :7], [3]))
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(ctc_loss(log_probs, lengths, padded, label_lengths), expected)
    torch.testing.assert_close(ctc_loss(log_probs, lengths, joined, label_lengths), expected)
