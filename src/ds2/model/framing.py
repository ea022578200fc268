"""How audio is cut into frames: what the settings of all front ends share."""


class Framing:
    """Window and stride in samples, for settings that give them in milliseconds."""

    sample_rate_hz: int
    window_ms: float
    stride_ms: float

    @property
    def window(self) -> int:
        """The number of samples in one frame."""
        return round(self.sample_rate_hz * self.window_ms / 1000)

    @property
    def stride(self) -> int:
        """The number of samples from the start of one frame to the start of the next."""
        return round(self.sample_rate_hz * self.stride_ms / 1000)

    def check_framing(self) -> None:
        """Raise ValueError, which names the key, unless frames have samples and leave no gaps."""
        if self.sample_rate_hz < 1:
            raise ValueError("sample_rate_hz: must be positive")
        if self.stride < 1:
            raise ValueError("stride_ms: must be at least one sample")
        if self.window < max(2, self.stride):
            raise ValueError("window_ms: must be at least stride_ms and two samples")
