"""The cost of a run, reported before it and after its first steps; memory that it gives back."""

import ctypes
import sys

import torch

from ds2.training.config import RunConfig
from ds2.training.data.examples import language_notes
from ds2.training.run.distributed import Workers
from ds2.training.run.parts import Data, Model
from ds2.training.run.progress import Display, clock

TRIM_EVERY_STEPS = 20
"""Steps from one return of freed memory to the next. A return costs about a quarter of a step."""
PARAMETERS_PER_HOUR = 2e6
"""For a network from scratch: with less speech for its size it learns the recordings by heart.

By this rule `small`, 5 M parameters, needs at least 2.5 hours, `medium` 10, the paper's 60.
"""
SMALLEST_TO_WARN_OF = 1e6
"""Parameters: smaller networks are toys on purpose."""
MEASURED_STEPS = 20
"""Number of steps after which a run reports its speed."""


def introduce(
    display: Display,
    config: RunConfig,
    data: Data,
    model: Model,
    device: torch.device,
    workers: Workers,
) -> None:
    """Report the data, the network, and the cost of the run."""
    selection = data.selection
    display.say(
        f"{len(selection.examples)} utterances, {selection.hours:.2f} h "
        f"({selection.num_short} too short, {selection.num_long} too long, "
        f"{len(selection.bad)} bad left out); dev {len(data.dev)} utterances"
    )
    num_parameters = sum(parameter.numel() for parameter in model.network.parameters())
    display.say(
        f"{num_parameters / 1e6:.2f} M parameters, {len(data.alphabet)} labels, {device}, "
        f"{workers.world_size} process(es) of {torch.get_num_threads()} threads"
    )
    display.say(f"{hours_to_hear(config, data)}; {_weights_memory(config, num_parameters)}")
    if config.training.init_from is None and not model.progress.step:
        advice = advice_on_size(num_parameters, selection.hours)
        if advice:
            display.warn(advice)
    if model.progress.step:
        heard_h = model.progress.audio_s / 3600
        display.say(f"going on from step {model.progress.step}, {heard_h:.2f} h heard")
        return
    utterances = [example.utterance for example in selection.examples]
    for note in language_notes(utterances, config.data):
        display.warn(note)


def hours_to_hear(config: RunConfig, data: Data) -> str:
    """The length of the run in words."""
    if config.training.hours is not None:
        decay = config.training.decay_hours
        falling = f"; the rate falls to 0 over the last {decay:g} h" if decay else ""
        return f"length: {config.training.hours:.2f} h of audio in all{falling}"
    epochs, epoch_h = config.training.epochs, data.epoch_s / 3600
    return f"length: {epochs} epochs of {epoch_h:.2f} h, {epochs * epoch_h:.2f} h of audio in all"


def _weights_memory(config: RunConfig, num_parameters: int) -> str:
    """The memory that does not depend on the minibatch: weights, gradients, optimiser state."""
    copies = {"sgd": 3, "muon": 4, "adamw": 4, "soap": 8}[config.training.optimiser]
    copies += config.training.ema > 0
    size_gb = 4 * copies * num_parameters / 1e9
    return f"{size_gb:.2g} GB for weights and optimiser, plus the minibatch's states"


def advice_on_size(num_parameters: int, hours: float) -> str | None:
    """A warning if the network is far too large for the hours of speech."""
    if num_parameters < max(SMALLEST_TO_WARN_OF, PARAMETERS_PER_HOUR * hours):
        return None
    return (
        f"{num_parameters / 1e6:.1f} M parameters are many for {hours:.2g} h of speech: begin with "
        "the weights of another model (training.init_from), use a smaller network, or add speech"
    )


def measured(steps: int, hours_per_hour: float, left_s: float, device: torch.device) -> str:
    """The speed and memory that the first steps of a run have shown."""
    return (
        f"after {steps} steps: {hours_per_hour:.1f} hours of audio per hour; the rest takes "
        f"{clock(left_s)}, plus evaluations; {_peak_memory(device)}"
    )


def _peak_memory(device: torch.device) -> str:
    if device.type == "cuda":
        return (
            f"at most {torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB of GPU memory so far"
        )
    if sys.platform == "win32":
        return "memory is not known"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of getrusage
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return f"at most {peak_gb:.1f} GB of memory so far"


def return_freed_memory() -> None:
    """Give the memory that this process has freed back to the system.

    Minibatches have many shapes. The GNU C library keeps their freed memory in pieces, which fit
    later minibatches badly. So a trainer of 1 GB holds 6 GB after some thousand steps. Other C
    libraries give memory back by themselves, so this function does nothing there.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
