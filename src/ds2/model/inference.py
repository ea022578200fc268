"""Loading exported graphs: the only file that knows onnxruntime, whose telemetry it switches off.

From version 1.29 on, onnxruntime leaves an identifier of the device in the user's cache directory
and sends figures of its use to its makers, unless the environment says otherwise when the library
is loaded.
"""

import os
from pathlib import Path
from typing import Any

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Of the environment; a user who has set it, to 1 or to 0, has decided."""

os.environ.setdefault(TELEMETRY_VARIABLE, "1")

import onnxruntime  # noqa: E402  the environment comes first

if os.environ[TELEMETRY_VARIABLE] != "0":
    onnxruntime.disable_telemetry_events()  # if somebody loaded the library before


def open_session(path: Path, num_threads: int) -> Any:
    """An `InferenceSession` of an ONNX file, on processor cores.

    num_threads: cores for one step; 0 takes all. Raises onnxruntime's own exceptions.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or os.cpu_count() or 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; printing it, too, is noise
    # Threads that spin while they wait would take the core from reading and decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
