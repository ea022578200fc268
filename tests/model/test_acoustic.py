"""Run an exported graph: its state, its threads, and graphs that do not fit their bundle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aids.models import TINY, TINY_BIDIRECTIONAL, random_network, write_random_bundle
from ds2.errors import InputError
from ds2.graph.weights import Precision
from ds2.model.acoustic import UNKNOWN_LENGTH, AcousticModel, gather_state, scatter_state
from ds2.model.bundle import Bundle
from ds2.model.inference import onnxruntime
from ds2.text.alphabet import mandarin_characters
from ds2.training.network.onnx_graph import build_graph


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_random_bundle(tmp_path_factory.mktemp("tiny"))


def frames_of(batch_size: int, num_frames: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.standard_normal((batch_size, num_frames, 161)).astype(np.float32)


def test_a_stream_begins_with_zeros(bundle: Bundle) -> None:
    state = AcousticModel(bundle).initial_state(3)
    assert {*state} == {"position", "conv_0", "conv_1", "h_0", "h_1", "lookahead"}
    assert all(len(value) == 3 and not value.any() for value in state.values())
    assert state["position"].dtype == np.int64


def test_a_batch_taken_apart_and_put_together_is_the_batch(bundle: Bundle) -> None:
    model = AcousticModel(bundle)
    _, state = model.step(frames_of(3, 12), model.initial_state(3))
    apart = [model.initial_state(1) for _ in range(3)]
    scatter_state(state, apart)
    again = gather_state(apart)
    assert all((again[name] == value).all() for name, value in state.items())


def test_an_open_end_is_the_default(bundle: Bundle) -> None:
    model = AcousticModel(bundle)
    frames, state = frames_of(2, 30), model.initial_state(2)
    given, _ = model.step(frames, state, np.full(2, UNKNOWN_LENGTH))
    np.testing.assert_array_equal(model.step(frames, state)[0], given)


def test_more_threads_change_nothing(bundle: Bundle) -> None:
    one, two = AcousticModel(bundle), AcousticModel(bundle, num_threads=2)
    frames = frames_of(2, 60)
    np.testing.assert_allclose(
        two.step(frames, two.initial_state(2))[0],
        one.step(frames, one.initial_state(2))[0],
        atol=1e-5,
    )


def test_a_graph_of_other_facts_is_refused(bundle: Bundle) -> None:
    others = {
        r"is not a graph of whole utterances": replace(
            bundle, model=replace(bundle.model, streaming=False)
        ),
        r"takes 161 bins, not 201": replace(
            bundle, features=replace(bundle.features, window_ms=25.0)
        ),
        r"gives 29 labels, not 31": replace(bundle, alphabet=mandarin_characters(["一二"])),
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=rf"model\.onnx: {message}, as bundle\.json says: "):
            AcousticModel(other)


def test_any_other_graph_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=opset), tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"model\.onnx: is not a streaming step"):
        AcousticModel(replace(bundle, path=tmp_path))


@pytest.mark.parametrize("config", [TINY, TINY_BIDIRECTIONAL], ids=["step", "whole"])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_stored_weights_are_converted_once_when_the_model_is_loaded(
    config, precision: Precision, tmp_path: Path
) -> None:
    config = replace(config, hidden_size=64)
    weights = random_network(config, 29).inference_weights()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(build_graph(config, weights, precision), options)
    loaded = onnx.load(tmp_path / "optimised.onnx").graph
    stored = {tensor.name: tensor.data_type for tensor in loaded.initializer}
    assert not {TensorProto.FLOAT16, TensorProto.INT8} & {*stored.values()}
    constant = [node for node in loaded.node if all(name in stored for name in node.input if name)]
    assert not [node.op_type for node in constant if node.input]
