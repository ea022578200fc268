"""Evaluation of a network on a development set: greedy decoding, WER, CER, loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ds2.ctc.greedy import GreedyDecoder
from ds2.errors import InputError
from ds2.evaluation.metrics import EditCounts, character_errors, word_errors
from ds2.text.alphabet import Alphabet
from ds2.training.config import RunConfig
from ds2.training.data.dataset import Batch, Key, SpeechDataset, load_batches
from ds2.training.data.examples import Example
from ds2.training.data.sampler import SortaGradSampler, share
from ds2.training.network.loss import ctc_losses, fits
from ds2.training.network.network import Network
from ds2.training.run.distributed import Workers


@dataclass(frozen=True)
class Transcribed:
    """One utterance of the set: its reference and the network's hypothesis."""

    index: int
    where: str
    reference: str
    hypothesis: str
    loss: float | None  # None if the network cannot spell or fit the reference
    words: EditCounts
    characters: EditCounts


@dataclass(frozen=True)
class Evaluation:
    """The result for the whole set. Rates are fractions; many insertions give more than 1."""

    wer: float
    cer: float
    loss: float  # mean over the utterances that have one; nan without any
    num_utterances: int
    transcribed: list[Transcribed]


class Evaluator:
    """Transcribes a development set.

    Its loading processes end with each evaluation. They begin when training has grown large. If
    they stayed, each would hold a copy of all the memory that training had at that time.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        alphabet: Alphabet,
        config: RunConfig,
        workers: Workers,
        device: torch.device,
    ) -> None:
        self._examples = examples
        self._alphabet = alphabet
        self._device = device
        self._workers = workers
        self._bf16 = config.training.bf16
        sampler = SortaGradSampler(
            [example.duration_s for example in examples],
            batch_seconds=config.data.batch_seconds,
            max_batch_size=config.data.max_batch_size,
        )
        batches = sampler.batches(0)  # by duration, whatever the settings of training
        shares = [share(batch, workers.rank, workers.world_size) for batch in batches]
        self._has_share = list(map(bool, shares))  # of each minibatch
        keys: list[list[Key]] = [[(0, index) for index in mine] for mine in shares if mine]
        self._loader = load_batches(
            SpeechDataset(examples, config), keys, config, device, keeps_processes=False
        )

    @torch.inference_mode()
    def evaluate(
        self, network: Network, stop: Callable[[], bool] = lambda: False
    ) -> Evaluation | None:
        """Transcribe the set; None if `stop` becomes true meanwhile in any process.

        Raises InputError if ds2 cannot read a recording.
        """
        was_training = network.training
        network.eval()
        try:
            transcribed = []
            batches = iter(self._loader)
            for has_share in self._has_share:
                if self._workers.any_says(stop()):
                    return None
                if not has_share:
                    continue
                batch = next(batches)
                if batch.errors:
                    raise InputError(f"data.dev: {batch.errors[0]}")
                transcribed += self._transcribe(network, batch.to(self._device))
        finally:
            network.train(was_training)
        everyones = [item for part in self._workers.gather(transcribed) for item in part]
        return summarise(sorted(everyones, key=lambda item: item.index))

    def _transcribe(self, network: Network, batch: Batch) -> list[Transcribed]:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            log_probs, lengths = network(batch.features, batch.frame_lengths)
        losses = ctc_losses(log_probs, lengths, batch.labels, batch.label_lengths).cpu()
        log_probs, lengths = log_probs.cpu(), lengths.cpu()
        return [
            self._compare(index, log_probs[row, : lengths[row]], float(losses[row]))
            for row, index in enumerate(batch.indices)
        ]

    def _compare(self, index: int, log_probs: Tensor, loss: float) -> Transcribed:
        example = self._examples[index]
        hypothesis = greedy_text(log_probs, self._alphabet)
        has_loss = example.labels is not None and fits(len(log_probs), example.labels)
        return Transcribed(
            index=index,
            where=example.utterance.where,
            reference=example.text,
            hypothesis=hypothesis,
            loss=loss if has_loss else None,
            words=word_errors(example.text, hypothesis, self._alphabet.language),
            characters=character_errors(example.text, hypothesis, self._alphabet.language),
        )


def greedy_text(log_probs: Tensor, alphabet: Alphabet) -> str:
    """The text of the likeliest label of each frame.

    log_probs: (T', V) on the CPU.
    """
    if log_probs.isnan().any():
        return ""  # the network has diverged; its run reports this
    decoder = GreedyDecoder()
    decoder.feed(log_probs.numpy())
    return alphabet.decode([token.label for token in decoder.best()[0].tokens])


def summarise(transcribed: list[Transcribed]) -> Evaluation:
    """The rates over all utterances: the sum of errors, divided by the references' length."""
    losses = [item.loss for item in transcribed if item.loss is not None]
    return Evaluation(
        wer=sum((item.words for item in transcribed), EditCounts()).rate,
        cer=sum((item.characters for item in transcribed), EditCounts()).rate,
        loss=sum(losses) / len(losses) if losses else float("nan"),
        num_utterances=len(transcribed),
        transcribed=transcribed,
    )
