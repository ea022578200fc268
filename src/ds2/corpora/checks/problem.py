"""Problem: what is wrong, or worth knowing, at one place of a manifest."""

from dataclasses import dataclass

ERRORS = {
    "manifest": "lines that cannot be read",
    "missing": "recordings that are not there",
    "unreadable": "recordings that cannot be read",
    "truncated": "recordings that end too early",
    "silent": "recordings of silence",
    "no text": "utterances without a text",
    "unspellable": "texts with characters outside the alphabet",
    "too short": "recordings too short for their texts",
    "duplicate": "audio that stands there twice",
    "leak": "audio and speakers of another manifest",
}
"""Kinds of problems that spoil training or a comparison."""

NOTES = {
    "duration": "recordings of which only the beginning is used",
    "clipped": "clipped recordings",
    "sample rate": "recordings that are not at 16 kHz",
    "bandwidth": "recordings without high frequencies",
    "style": "texts that are not in the alphabet's style (training normalises them)",
    "folded": "letters that English does not have",
    "pace": "texts of an unlikely length",
    "repeated": "sentences that a speaker says again",
    "shared text": "texts of another manifest",
    "unseen": "characters that no other manifest has",
}
"""Kinds of problems that are good to know."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found by a check."""

    kind: str  # a key of ERRORS or NOTES
    where: str  # "train/manifest.jsonl:12", or the manifest alone
    message: str
    gist: str = ""  # what it has in common with others of its kind; else the message

    @property
    def is_error(self) -> bool:
        return self.kind in ERRORS
