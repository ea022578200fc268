"""Problem: a fault, or a fact that is good to know, at one place of a manifest."""

from dataclasses import dataclass

ERRORS = {
    "manifest": "lines that cannot be read",
    "missing": "missing recordings",
    "unreadable": "recordings that cannot be read",
    "truncated": "recordings that end too early",
    "silent": "recordings of silence",
    "no text": "utterances without a text",
    "unspellable": "texts with characters outside the alphabet",
    "too short": "recordings too short for their texts",
    "duplicate": "audio that occurs twice",
    "leak": "audio and speakers that are also in another manifest",
}
"""Kinds of problems that spoil training or a comparison."""

NOTES = {
    "duration": "recordings that are longer than the manifest says",
    "clipped": "clipped recordings",
    "sample rate": "recordings that are not at 16 kHz",
    "bandwidth": "recordings without high frequencies",
    "style": "texts that are not in the alphabet's style (training normalises them)",
    "folded": "letters that English does not have",
    "pace": "texts of an unlikely length",
    "repeated": "sentences that a speaker says again",
    "shared text": "texts that are also in another manifest",
    "unseen": "characters that no other manifest has",
}
"""Kinds of problems that are good to know."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One result of a check."""

    kind: str  # a key of ERRORS or NOTES
    where: str  # "train/manifest.jsonl:12", or the manifest alone
    message: str
    gist: str = ""  # the part that equal problems share; "": the whole message

    @property
    def is_error(self) -> bool:
        return self.kind in ERRORS
