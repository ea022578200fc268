"""The CTC loss, and the test whether an utterance can have one."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor


def ctc_losses(
    log_probs: Tensor, output_lengths: Tensor, labels: Tensor, label_lengths: Tensor
) -> Tensor:
    """-ln p(labels | audio) of every utterance, (B,), summed over its alignments; blank is 0.

    log_probs: (B, T', V) float32; output_lengths: (B,); labels: (B, U) padded, or all utterances'
    labels joined, (sum of label_lengths,); label_lengths: (B,).
    The loss of an utterance that does not fit (see `fits`) is infinite: nothing hides it.
    """
    return F.ctc_loss(
        log_probs.transpose(0, 1), labels, output_lengths, label_lengths, blank=0, reduction="none"
    )


def ctc_loss(
    log_probs: Tensor, output_lengths: Tensor, labels: Tensor, label_lengths: Tensor
) -> Tensor:
    """The mean of the utterances' losses over the batch, (). No length divides it.

    The arguments are those of `ctc_losses`.
    """
    return ctc_losses(log_probs, output_lengths, labels, label_lengths).mean()


def frames_needed(labels: Sequence[int] | Tensor) -> int:
    """The fewest output frames that can spell the labels: repeats need a blank between them."""
    spelt: Sequence[int] = labels.tolist() if isinstance(labels, Tensor) else labels
    return len(spelt) + sum(a == b for a, b in pairwise(spelt))


def fits(num_frames: int, labels: Sequence[int] | Tensor) -> bool:
    """Whether `num_frames` output frames can spell the labels at all."""
    return num_frames >= frames_needed(labels)
