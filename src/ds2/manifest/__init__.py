"""Read and write manifests: lists of utterances."""

from ds2.manifest.reading import fields_of, is_recording, read_manifest, write_manifest
from ds2.manifest.utterance import Utterance

__all__ = ["Utterance", "fields_of", "is_recording", "read_manifest", "write_manifest"]
