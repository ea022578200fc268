"""All front ends behind one interface. The key `kind` in a bundle names the front end."""

from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from typing import Any, Protocol

import numpy.typing as npt

from ds2.errors import InputError
from ds2.model.features import FeatureConfig, FeatureStream, Floats, feed_together
from ds2.model.filter_banks import FilterBankConfig, FilterBankStream
from ds2.model.magnitudes import MagnitudeConfig, MagnitudeStream
from ds2.settings import settings_from

FrontEnd = FeatureConfig | FilterBankConfig | MagnitudeConfig
"""All have sample_rate_hz, window, stride (samples), num_bins, causal, num_frames, summary."""

KINDS: dict[str | None, type[FrontEnd]] = {
    None: FeatureConfig,  # the front end of the models that ds2 trains; it has no name
    "filter_banks": FilterBankConfig,
    "magnitudes": MagnitudeConfig,
}


def front_end_from(data: Mapping[str, Any], where: str) -> FrontEnd:
    """The front end that `data` describe.

    data: the value of the key `features` in the file `where`, as plain data.
    Raises InputError for a bad value. Its message names the file and the key.
    """
    kind = data.get("kind")
    if kind is not None and (not isinstance(kind, str) or kind not in KINDS):
        known = ", ".join(f'"{name}"' for name in KINDS if name)
        raise InputError(f"{where}: features.kind: {kind!r}: this ds2 knows {known}")
    # The class around the front end puts "features" into the messages.
    around = make_dataclass("Features", [("features", KINDS[kind])])
    settings: Any = settings_from(around, {"features": data}, where)
    config: FrontEnd = settings.features
    return config


class FrameStream(Protocol):
    """Takes samples and returns frames. One stream serves one utterance."""

    def feed(self, waveform: npt.NDArray[Any]) -> Floats:
        """Take (N,) more samples; return the (T, F) frames that they complete, often none."""
        ...

    def finish(self) -> Floats:
        """The (T, F) frames that only the end completes."""
        ...


def stream_frames(config: FrontEnd) -> FrameStream:
    """A new stream of the front end."""
    if isinstance(config, FilterBankConfig):
        return FilterBankStream(config)
    if isinstance(config, MagnitudeConfig):
        return MagnitudeStream(config)
    return FeatureStream(config)


def feed_streams(
    streams: Sequence[FrameStream], waveforms: Sequence[npt.NDArray[Any]]
) -> list[Floats]:
    """Feed each stream its (N,) samples; returns the (T, F) frames of each stream.

    All streams have the same front end.
    """
    ours = [stream for stream in streams if isinstance(stream, FeatureStream)]
    if len(ours) == len(streams):
        return feed_together(ours, waveforms)
    return [stream.feed(waveform) for stream, waveform in zip(streams, waveforms, strict=True)]


def compute_features(waveform: npt.NDArray[Any], config: FrontEnd) -> Floats:
    """The (T, F) features of a whole waveform.

    waveform: (N,) floating point in [-1, 1] at `config.sample_rate_hz`

    Raises ValueError unless the waveform is one-dimensional and finite.
    """
    stream = stream_frames(config)
    features = stream.feed(waveform)
    return features if config.causal else stream.finish()
