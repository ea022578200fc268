"""Loading exported graphs: the only file that knows onnxruntime, whose telemetry it switches off.

From version 1.29 on, onnxruntime leaves an identifier of the device in the user's cache directory
and sends figures of its use to its makers. It does not if the environment says so when the library
is loaded.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.model.computing import DEVICES, Device, Place

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""The environment variable. A user who has set it, to 1 or to 0, has decided."""

os.environ.setdefault(TELEMETRY_VARIABLE, "1")

import onnxruntime  # noqa: E402  the environment comes first

if os.environ[TELEMETRY_VARIABLE] != "0":
    onnxruntime.disable_telemetry_events()  # in case another module loaded the library before

PROVIDERS: dict[Place, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
GPU_PACKAGE = "onnxruntime-gpu"


def choose_place(device: Device, available: Sequence[str] | None = None) -> Place:
    """Where a network runs that is asked to run on a device. Nothing is probed.

    available: the names of onnxruntime's providers; None asks the one that is installed.
    Raises InputError for cuda if the onnxruntime that is installed knows no graphics cards.
    """
    if device not in DEVICES:
        raise InputError(f"device {device}: no such device: choose one of {', '.join(DEVICES)}")
    if available is None:
        available = onnxruntime.get_available_providers()
    if PROVIDERS["cuda"] in available:
        return "cpu" if device == "cpu" else "cuda"
    if device == "cuda":
        raise InputError(
            "device cuda: this onnxruntime knows no graphics cards: "
            f"pip uninstall -y onnxruntime && pip install {GPU_PACKAGE}"
        )
    return "cpu"


def open_session(graph: Path | bytes, num_threads: int, place: Place = "cpu") -> Any:
    """An `InferenceSession` of an ONNX file, or of its bytes.

    num_threads: cores for one step; 0 takes all.
    place: where the network runs. On a graphics card, what that cannot compute runs on the cores.
    Raises onnxruntime's own exceptions.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or os.cpu_count() or 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # an exception tells what goes wrong; printing it too is noise
    # Threads that spin while they wait would take the core from reading and decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [PROVIDERS[place]] if place == "cpu" else [PROVIDERS[place], PROVIDERS["cpu"]]
    return onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)


def place_of(session: Any) -> Place:
    """Where a session runs: on the cores, too, if the graphics card could not be used."""
    return "cuda" if PROVIDERS["cuda"] in session.get_providers() else "cpu"


def evaluate_constants(graph: bytes) -> list[NDArray[Any]]:
    """The outputs of a graph without inputs. Raises onnxruntime's own exceptions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # To compute the outputs once, in order to optimise, would be to compute them twice.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=[PROVIDERS["cpu"]])
    outputs: list[NDArray[Any]] = session.run(None, {})
    return outputs
