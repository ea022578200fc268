"""float32 and int8 arithmetic: time of a step, its limits, single products, error rates.

    python benchmarks/arithmetic.py steps -m models/en -m models/zh
    python benchmarks/arithmetic.py products
    python benchmarks/arithmetic.py errors data/en-dev/manifest.jsonl -m models/en
    python benchmarks/arithmetic.py opening -m models/en -m models/zh

One thread. Times are processor time, medians; the systems take turns, chunk by chunk. With
--without-amx (Linux) the processor's matrix unit (AMX) is out of bounds, so the figures are those
of a processor that has VNNI alone. `opening` starts a process for each figure.
"""

import argparse
import ctypes
import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ds2.audio import read_audio
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import Hypothesis
from ds2.evaluation.evaluation import total
from ds2.evaluation.metrics import character_errors, word_errors
from ds2.manifest import read_manifest
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import MODEL, Bundle, find_bundle, load_bundle
from ds2.model.inference import evaluate_constants, open_session
from ds2.model.int8_graph import ONNXRUNTIME, with_int8_products
from ds2.recognition.recognizer import Recognizer
from ds2.text.normalise import normalise

CHUNK_MS = 210
BATCH_SIZES = (1, 4, 16)
ROUNDS = 80
LAYER = (512, 1536)
"""Columns and rows of the recurrent weight of a GRU layer of 512."""
NUM_LAYERS = 6
"""Weights that take turns in a measurement of single products, as in a network."""
OPENING = """
import time
from ds2 import Recognizer
import ds2.ctc.beam_search, ds2.recognition.recognizer, ds2.model.int8_graph
wall, cpu = time.perf_counter(), time.process_time()
Recognizer.load({model!r}, arithmetic={arithmetic!r})
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def main() -> None:
    """Measure what the command line asks for; print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("steps", "products", "errors", "opening"))
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--without-amx", action="store_true")
    args = parser.parse_args()
    if args.without_amx:  # onnxruntime looks for it when it is loaded, so the program starts anew
        forbid_amx()
        os.execv(sys.executable, [sys.executable, *(x for x in sys.argv if x != "--without-amx")])
    models = args.model or ["models/en"]
    if args.what == "products":
        print_products()
    for model in models if args.what != "products" else ():
        if args.what == "steps":
            print_steps(load_bundle(find_bundle(model)))
        elif args.what == "errors":
            print_errors(model, args.manifest)
        else:
            print_opening(model)


def forbid_amx() -> None:
    """Make the system refuse this process the matrix unit, which a program must ask it for.

    A seccomp filter that answers arch_prctl(ARCH_REQ_XCOMP_PERM) with EPERM.
    """
    load, equal, answer = 0x20, 0x15, 0x06
    arch_prctl, ask, allow, refuse = 158, 0x1023, 0x7FFF0000, 0x00050001
    steps = [
        (load, 0, 0, 0),  # the number of the system call
        (equal, 0, 3, arch_prctl),
        (load, 0, 0, 16),  # its first argument
        (equal, 0, 1, ask),
        (answer, 0, 0, refuse),
        (answer, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
        sys.exit("--without-amx: this system cannot refuse it")


def print_steps(bundle: Bundle) -> None:
    """Processor time of one chunk at each batch size, and what bounds it."""
    systems = {
        "float": AcousticModel(bundle, arithmetic="float"),
        "int8": AcousticModel(bundle, arithmetic="int8"),
        "int8, unsigned weights": _unsigned(bundle),
    }
    bandwidth = memory_bandwidth()
    num_weights = bundle.model.num_parameters
    work = _products_per_frame(bundle) * CHUNK_MS // 10 // bundle.model.time_stride
    print(f"\n{bundle.path}: ms of processor time for {CHUNK_MS} ms of audio of each stream")
    print("| streams | " + " | ".join(systems) + " | float / int8 | GFLOP/s float | int8 |")
    print("|" + "---|" * (len(systems) + 4))
    for batch_size in BATCH_SIZES:
        times = _step_times(list(systems.values()), batch_size)
        rates = [2e-9 * work * batch_size / times[i] for i in (0, 1)]
        shown = " | ".join(f"{1000 * each:.2f}" for each in times)
        print(
            f"| {batch_size} | {shown} | {times[0] / times[1]:.2f} | "
            + " | ".join(f"{rate:.0f}" for rate in rates)
            + " |"
        )
    once = [1000 * num_weights * size / bandwidth for size in (4, 1)]
    print(
        f"One core reads {bandwidth / 1e9:.1f} GB/s. Reading every weight once takes "
        f"{once[0]:.2f} ms as float32, {once[1]:.2f} ms as int8. The recurrent weights are read "
        f"for each of {CHUNK_MS // 10 // bundle.model.time_stride} outputs: with them "
        f"{1000 * work * 4 / bandwidth:.2f} ms and {1000 * work / bandwidth:.2f} ms, if no cache "
        "holds them."
    )


def _unsigned(bundle: Bundle) -> AcousticModel:
    """The form for processors without int8 instructions."""
    model = AcousticModel(bundle, arithmetic="int8")
    graph = with_int8_products(bundle.model_path.read_bytes(), evaluate_constants, signed=False)
    model._session = open_session(graph, 1)
    return model


def _products_per_frame(bundle: Bundle) -> int:
    """Multiplications of weights in an output frame, without those of the convolutions."""
    sizes = {
        name: value.size
        for name, value in _stored_weights(bundle)
        if value.ndim == 2 and name.startswith(("recurrent", "output", "fc"))
    }
    return sum(sizes.values())


def _stored_weights(bundle: Bundle) -> Sequence[tuple[str, NDArray[np.float32]]]:
    from ds2.graph.weights import read_weights

    return list(read_weights((bundle.path / MODEL).read_bytes()).items())


def _step_times(models: Sequence[AcousticModel], batch_size: int) -> list[float]:
    """Seconds of processor time of a step: the median of each model."""
    random = np.random.default_rng(0)
    facts, num_bins = models[0].bundle.model, models[0].bundle.features.num_bins
    num_frames = CHUNK_MS // 10 // facts.time_stride * facts.time_stride
    states = [model.initial_state(batch_size) for model in models]
    times: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        frames = random.standard_normal((batch_size, num_frames, num_bins)).astype(np.float32)
        for i, model in enumerate(models):
            start_s = time.process_time()
            _, states[i] = model.step(frames, states[i])
            times[i].append(time.process_time() - start_s)
    return [statistics.median(each) for each in times]


def memory_bandwidth() -> float:
    """Bytes a second that one core reads: the best of several sums over 256 MB."""
    values = np.ones(1 << 25)
    found = []
    for _ in range(7):
        start_s = time.process_time()
        values.dot(values)
        found.append(values.nbytes / (time.process_time() - start_s))
    return max(found)


def print_products() -> None:
    """Microseconds of one product of a recurrent layer's size, by kind of arithmetic."""
    sessions = {name: _sessions(make) for name, make in PRODUCTS.items()}
    print("| rows | " + " | ".join(sessions) + " |")
    print("|" + "---|" * (len(sessions) + 1))
    random = np.random.default_rng(0)
    for num_rows in (1, 4, 16, 28, 112):
        values = random.uniform(-1, 1, (num_rows, LAYER[0])).astype(np.float32)
        times: dict[str, list[float]] = {name: [] for name in sessions}
        for _ in range(ROUNDS // 2):
            for name, each in sessions.items():
                start_s = time.process_time()
                for session in each:
                    session.run(None, {"values": values})
                times[name].append((time.process_time() - start_s) / NUM_LAYERS)
        shown = (f"{1e6 * statistics.median(each):.0f}" for each in times.values())
        print(f"| {num_rows} | " + " | ".join(shown) + " |")
    print("Whether a row's product is the same, bit for bit, alone and among 16:")
    values = random.uniform(-1, 1, (16, LAYER[0])).astype(np.float32)
    for name, (session, *_) in sessions.items():
        together = session.run(None, {"values": values})[0]
        alone = [session.run(None, {"values": values[i : i + 1]})[0][0] for i in range(16)]
        print(f"- {name}: {'yes' if np.array_equal(together, alone) else 'no'}")


def _sessions(make: Callable[[NDArray[np.int8], NDArray[np.float32]], bytes]) -> list:
    random = np.random.default_rng(1)
    made = []
    for _ in range(NUM_LAYERS):
        numbers = random.integers(-127, 128, LAYER[::-1]).astype(np.int8)
        made.append(open_session(make(numbers, np.full(LAYER[1], 1e-3, np.float32)), 1))
    return made


def _float_product(numbers: NDArray[np.int8], scales: NDArray[np.float32]) -> bytes:
    weight = (numbers * scales[:, np.newaxis]).T.astype(np.float32)
    nodes = [helper.make_node("MatMul", ["values", "w"], ["products"])]
    return _product_graph(nodes, {"w": weight})


def _static_product(numbers: NDArray[np.int8], scales: NDArray[np.float32]) -> bytes:
    tensors = {
        "w": numbers.T,
        "scale": np.full((), 1 / 127, np.float32),
        "middle": np.full((), 128, np.uint8),
        "scales": scales,
        "zero": np.zeros((), np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["values", "scale", "middle"], ["whole"]),
        helper.make_node(
            "MatMulIntegerToFloat",
            ["whole", "w", "scale", "scales", "middle", "zero"],
            ["products"],
            domain=ONNXRUNTIME,
        ),
    ]
    return _product_graph(nodes, tensors)


def _dynamic_product(numbers: NDArray[np.int8], scales: NDArray[np.float32]) -> bytes:
    given = ["values", "w", "scales"]
    node = helper.make_node("DynamicQuantizeMatMul", given, ["products"], domain=ONNXRUNTIME)
    return _product_graph([node], {"w": numbers.T, "scales": scales})


def _blocks_product(numbers: NDArray[np.int8], scales: NDArray[np.float32]) -> bytes:
    block = 128
    unsigned = (numbers.astype(np.int16) + 128).astype(np.uint8)
    blocks = unsigned.reshape(LAYER[1], LAYER[0] // block, block)
    facts = {"K": LAYER[0], "N": LAYER[1], "bits": 8, "block_size": block, "accuracy_level": 4}
    given = ["values", "w", "scales"]
    node = helper.make_node("MatMulNBits", given, ["products"], domain=ONNXRUNTIME, **facts)
    repeated = np.repeat(scales[:, np.newaxis], blocks.shape[1], axis=1)
    return _product_graph([node], {"w": blocks, "scales": repeated})


def _product_graph(nodes: Sequence[onnx.NodeProto], tensors: Mapping[str, NDArray]) -> bytes:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "product",
        [value("values", TensorProto.FLOAT, ["rows", LAYER[0]])],
        [value("products", TensorProto.FLOAT, ["rows", LAYER[1]])],
        [
            numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            for name, array in tensors.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ONNXRUNTIME, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())


PRODUCTS = {
    "float32": _float_product,
    "int8, fixed scale": _static_product,
    "int8, scale of the batch": _dynamic_product,
    "MatMulNBits, 8 bits, blocks of 128": _blocks_product,
}


def print_errors(model: str, manifest: Path) -> None:
    """Error rates of a manifest, greedy and searched as the bundle says, in both arithmetics."""
    utterances = read_manifest(manifest)
    language = load_bundle(find_bundle(model)).language
    references = [normalise(utterance.text or "", language) for utterance in utterances]
    print(f"\n{model} on {manifest.parent.name}, {len(utterances)} utterances")
    print(
        "| arithmetic | decoding | WER % | CER % | texts that differ from float |\n|" + "---|" * 5
    )
    first: dict[str, list[str]] = {}
    for arithmetic in ("float", "int8"):
        recognizer = Recognizer.load(model, arithmetic=arithmetic)
        outputs = [recognizer.log_probs(read_audio(each.audio_path)) for each in utterances]
        for name, decode in (("greedy", _greedy), ("as the bundle says", _searched)):
            alphabet = recognizer.bundle.alphabet
            texts = [
                " ".join(alphabet.decode(token.label for token in best.tokens).split())
                for best in decode(recognizer, outputs)
            ]
            pairs = list(zip(references, texts, strict=True))
            wer = total(word_errors(*pair, language) for pair in pairs).rate
            cer = total(character_errors(*pair, language) for pair in pairs).rate
            same = first.setdefault(name, texts)
            num_other = sum(one != other for one, other in zip(same, texts, strict=True))
            figures = f"{100 * wer:.2f} | {100 * cer:.2f} | {num_other}"
            print(f"| {arithmetic} | {name} | {figures} |", flush=True)


def _greedy(_: Recognizer, outputs: Sequence[NDArray[np.float32]]) -> list[Hypothesis]:
    found = []
    for log_probs in outputs:
        decoder = GreedyDecoder()
        decoder.feed(log_probs)
        found.append(decoder.best()[0])
    return found


def _searched(recognizer: Recognizer, outputs: Sequence[NDArray[np.float32]]) -> list[Hypothesis]:
    from ds2.ctc.beam_search import BeamSearch
    from ds2.ngram.model import NgramModel

    bundle = recognizer.bundle
    lm = NgramModel.load(bundle.lm_path) if bundle.lm_path else None
    search = BeamSearch(bundle.alphabet, bundle.decoding, lm)
    return [best for best, *_ in search.decode_batch(outputs, num_threads=1)]


def print_opening(model: str) -> None:
    """Seconds of `Recognizer.load` in new processes whose imports are done, taking turns."""
    found: dict[str, list[tuple[float, ...]]] = {"float": [], "int8": []}
    for _ in range(7):
        for arithmetic, times in found.items():
            code = OPENING.format(model=model, arithmetic=arithmetic)
            out = subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True
            ).stdout
            times.append(tuple(map(float, out.split())))
    for arithmetic, times in found.items():
        wall, cpu = (statistics.median(each) for each in zip(*times, strict=True))
        print(f"{model}, {arithmetic}: wall {wall:.3f} s, processor {cpu:.3f} s")


if __name__ == "__main__":
    main()
