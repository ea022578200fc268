"""The kinds of work on every utterance of a corpus, here or on another machine."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ds2.corpora.work.resumable import Fields
from ds2.ctc.alignment.approximate import Tolerance
from ds2.errors import InputError
from ds2.manifest import Utterance
from ds2.model.bundle import find_bundle

OTHERS = "others"
"""The field of an utterance with more texts to score."""


@dataclass(frozen=True)
class AlignWork:
    """Finds the words of long recordings."""

    model: str  # a bundle's directory, or en, zh
    tolerance: Tolerance = field(default_factory=Tolerance)
    raw_text: bool = False

    def facts(self) -> Fields:
        """Plain data that the results depend on."""
        return {"work": "align", **_facts(self)}

    def start(self) -> Callable[[Utterance], Fields]:
        """Load the model."""
        from ds2.corpora.long.align import align_recording
        from ds2.recognition.aligner import Aligner

        aligner = Aligner.load(self.model)

        def align(utterance: Utterance) -> Fields:
            found = align_recording(aligner, utterance, self.tolerance, raw_text=self.raw_text)
            return found.to_dict()

        return align


@dataclass(frozen=True)
class TranscribeWork:
    """Recognises utterances with the settings of the bundle, or greedily."""

    model: str
    greedy: bool = False

    def facts(self) -> Fields:
        """Plain data that the results depend on."""
        return {"work": "transcribe", **_facts(self)}

    def start(self) -> Callable[[Utterance], Fields]:
        """Load the model."""
        from ds2.recognition.recognizer import Recognizer

        recognizer = Recognizer.load(self.model, greedy=self.greedy)

        def transcribe(utterance: Utterance) -> Fields:
            found = recognizer.transcribe(utterance)
            confidences = [word.confidence for word in found.words]
            return {
                "pred_text": found.text,
                "pred_confidence": round(sum(confidences) / max(1, len(confidences)), 4),
            }

        return transcribe


@dataclass(frozen=True)
class ScoreWork:
    """Measures how well texts fit utterances, as features for a filter."""

    model: str
    raw_text: bool = False

    def facts(self) -> Fields:
        """Plain data that the results depend on."""
        return {"work": "score", **_facts(self)}

    def start(self) -> Callable[[Utterance], Fields]:
        """Load the model."""
        from ds2.corpora.long.filter import features_of
        from ds2.recognition.aligner import Aligner
        from ds2.text.normalise import normalise

        aligner = Aligner.load(self.model)
        alphabet, language = aligner.bundle.alphabet, aligner.bundle.language

        def score(utterance: Utterance) -> Fields:
            """The features of the utterance's text and of those in its field `others`."""
            texts = [utterance.text or "", *utterance.extra.get(OTHERS, ())]
            if not self.raw_text:
                texts = [" ".join(normalise(text, language).split()) for text in texts]
            if not all(texts):
                raise InputError("has no text: leave it out")
            pieces = [np.empty((0, len(alphabet)), np.float32)]
            aligner.listen(utterance, pieces.append)
            return {"features": features_of(np.concatenate(pieces), texts, alphabet)}

        return score


def _facts(work: Any) -> Fields:
    """The settings, and the bundle's facts. Its place does not matter."""
    settings = asdict(work)
    name = settings.pop("model")
    facts = (find_bundle(name) / "bundle.json").read_text(encoding="utf-8")
    return {"bundle": json.loads(facts), **settings}
