"""Running an exported model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.model.bundle import ADVICE, Bundle
from ds2.model.computing import (
    Arithmetic,
    ChosenArithmetic,
    Device,
    choose_arithmetic,
    int8_instruction,
)
from ds2.model.inference import (
    choose_place,
    evaluate_constants,
    open_session,
    place_of,
)

State = dict[str, NDArray[Any]]
"""The state between two steps: name -> (B, ...) array; each row belongs to one stream."""

UNKNOWN_LENGTH = 2**62
"""The length, in frames, of a stream that has not ended."""

POSITION = "position"


class AcousticModel:
    """An exported network: frames to log_probs.

    A streaming model advances by `step`. The rows of a batch are streams, and each has its own
    position. So every step may have another batch (`gather_state`). A model of whole utterances
    has `whole` instead.
    """

    def __init__(
        self,
        bundle: Bundle,
        num_threads: int = 1,
        *,
        arithmetic: Arithmetic = "auto",
        device: Device = "auto",
    ) -> None:
        """num_threads: processor cores for one step; 0 takes all.

        arithmetic: of the large products; "auto" takes what is faster here and no less exact.
        device: "cpu", "cuda", or "auto" for a graphics card where onnxruntime can use one.

        Raises InputError if the graph cannot be loaded, or is not what the facts say, and for an
        arithmetic or a device that cannot be had.
        """
        self.bundle = bundle
        place = choose_place(device)
        self.arithmetic = choose_arithmetic(arithmetic, bundle.model, place)
        try:
            graph = self._graph(is_asked=arithmetic == "int8")
            self._session = open_session(graph, num_threads, place)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no base class
            reason = " ".join(str(error).split())
            raise InputError(f"{bundle.model_path}: cannot be loaded: {reason}") from None
        self.place = place_of(self._session)
        if device == "cuda" and self.place != "cuda":
            raise InputError(
                "device cuda: onnxruntime cannot use a graphics card here: install the driver and "
                "the CUDA libraries that its version needs, or choose device cpu"
            )
        inputs = {argument.name: argument for argument in self._session.get_inputs()}
        given = ("frames", "length") if bundle.model.streaming else ("features", "lengths")
        self._states = {name: value for name, value in inputs.items() if name not in given}
        self._outputs = ["log_probs", *(f"next_{name}" for name in self._states)]
        outputs = {argument.name: argument for argument in self._session.get_outputs()}
        _verify(bundle, inputs, outputs)

    def _graph(self, *, is_asked: bool) -> Path | bytes:
        """The graph in the arithmetic chosen: the bundle's file, or its int8 form.

        is_asked: a graph without an int8 form raises InputError; else it stays as it is.
        """
        if self.arithmetic.name == "float":
            return self.bundle.model_path
        from ds2.model.int8_graph import UnsuitableGraphError, with_int8_products

        model, signed = self.bundle.model_path.read_bytes(), int8_instruction() is not None
        try:
            return with_int8_products(model, evaluate_constants, signed=signed)
        except UnsuitableGraphError as error:
            if is_asked:
                raise InputError(
                    f"{self.bundle.model_path}: has no int8 arithmetic: {error}: choose float"
                ) from None
            self.arithmetic = ChosenArithmetic("float", str(error))
            return self.bundle.model_path

    def initial_state(self, batch_size: int) -> State:
        """The state of `batch_size` streams at their first frame: zeros."""
        return {
            name: np.zeros(
                (batch_size, *argument.shape[1:]),
                np.int64 if argument.type == "tensor(int64)" else np.float32,
            )
            for name, argument in self._states.items()
        }

    def step(
        self,
        frames: NDArray[np.float32],
        state: Mapping[str, NDArray[Any]],
        lengths: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], State]:
        """Advance B streams by T frames each.

        frames: (B, T, F); T is a multiple of the model's time stride. Frames past a stream's end do
            not matter.
        lengths: (B,) the number of all frames of each stream; UNKNOWN_LENGTH until it has ended.
        Returns log_probs (B, T / time_stride, V) and the next state. The outputs of a row stand for
        the output frames from position / time_stride - delay on. The caller drops frames below 0
        and frames from `ModelFacts.num_outputs` of the length on.
        """
        if frames.shape[1] % self.bundle.model.time_stride:
            raise ValueError(
                f"a step takes a multiple of {self.bundle.model.time_stride} frames, "
                f"not {frames.shape[1]}"
            )
        if lengths is None:
            lengths = np.full(len(frames), UNKNOWN_LENGTH, np.int64)
        inputs = {"frames": frames, "length": lengths, **state}
        log_probs, *states = self._session.run(self._outputs, inputs)
        return log_probs, dict(zip(self._states, states, strict=True))

    def whole(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """log_probs (B, T', V) of whole utterances, (B, T, F) with `lengths` valid frames.

        Outputs from `ModelFacts.num_outputs` of a length on mean nothing.
        """
        inputs = {"features": features, "lengths": lengths}
        log_probs: NDArray[np.float32] = self._session.run(["log_probs"], inputs)[0]
        return log_probs


def gather_state(states: Sequence[Mapping[str, NDArray[Any]]]) -> State:
    """The state of a batch, from the states of its streams, each of batch size 1."""
    return {name: np.concatenate([state[name] for state in states]) for name in states[0]}


def scatter_state(state: Mapping[str, NDArray[Any]], streams: Sequence[State]) -> None:
    """Write the state of a batch into the arrays of its streams. It undoes `gather_state`.

    A view would keep the whole batch in memory for an idle stream.
    """
    for name, rows in state.items():
        for stream, row in zip(streams, rows, strict=True):
            stream[name][0] = row


def _verify(bundle: Bundle, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    """Raise InputError if a graph with these inputs and outputs is not what the facts say."""
    if bundle.model.streaming:
        kind, given = "a streaming step", {"frames", "length", POSITION}
        states = {*inputs} - {"frames", "length"}
    else:
        kind, given, states = "a graph of whole utterances", {"features", "lengths"}, set()
    expected = {"log_probs", *(f"next_{name}" for name in states)}
    if not given <= {*inputs} or not expected <= {*outputs} or {*inputs} != given | states:
        _refuse(bundle, f"is not {kind}")
    num_bins = inputs["frames" if bundle.model.streaming else "features"].shape[2]
    if num_bins != bundle.features.num_bins:
        _refuse(bundle, f"takes {num_bins} bins, not {bundle.features.num_bins}")
    num_labels = outputs["log_probs"].shape[2]
    if isinstance(num_labels, int) and num_labels != len(bundle.alphabet):  # or a name: any number
        _refuse(bundle, f"gives {num_labels} labels, not {len(bundle.alphabet)}")


def _refuse(bundle: Bundle, problem: str) -> NoReturn:
    raise InputError(f"{bundle.model_path}: {problem}, as bundle.json says: {ADVICE}")
