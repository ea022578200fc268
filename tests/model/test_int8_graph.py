"""int8 arithmetic: the same weights, much the same outputs, and no trace of chunks or batches."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from aids.models import READY, TINY, TINY_BIDIRECTIONAL, random_network
from ds2.errors import InputError
from ds2.graph.weights import Precision, read_weights
from ds2.model.acoustic import AcousticModel, gather_state, scatter_state
from ds2.model.bundle import Bundle, ModelFacts, load_bundle
from ds2.model.features import FeatureConfig
from ds2.model.inference import evaluate_constants, open_session
from ds2.model.int8_graph import with_int8_products
from ds2.text.alphabet import english_characters
from ds2.training.network.config import NetworkConfig
from ds2.training.network.onnx_graph import build_graph, output_delay

SHIPPED = Path(__file__).parents[2] / "models"
NETWORKS = {
    "gru": replace(TINY, hidden_size=64),
    "lstm": replace(TINY, hidden_size=64, recurrent="lstm"),
    "rnn": replace(TINY, hidden_size=64, recurrent="rnn", fully_connected=(80,)),
}


def write_step(directory: Path, config: NetworkConfig, precision: Precision = "int8") -> Bundle:
    """A bundle without bundle.json: enough to load the network."""
    graph = build_graph(config, random_network(config, 29).inference_weights(), precision)
    (directory / "model.onnx").write_bytes(graph)
    facts = ModelFacts(True, config.time_stride, output_delay(config), 0, 0, precision)
    return Bundle(directory, english_characters(), FeatureConfig(), facts)


@pytest.fixture(scope="module", params=[*NETWORKS, "en", "zh"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    if request.param in NETWORKS:
        return write_step(tmp_path_factory.mktemp(request.param), NETWORKS[request.param])
    return load_bundle(SHIPPED / request.param)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> AcousticModel:
    return AcousticModel(bundle, arithmetic="int8")


def frames_of(batch_size: int, num_frames: int) -> np.ndarray:
    """As loud as features are, one stream ten times louder and one silent."""
    random = np.random.default_rng(0)
    frames = random.standard_normal((batch_size, num_frames, 161)).astype(np.float32)
    frames[-1] *= 10
    if batch_size > 2:
        frames[1] = 0
    return frames


def outputs_of(
    model: AcousticModel, frames: np.ndarray, chunk: int, lengths: np.ndarray | None = None
) -> np.ndarray:
    state, pieces = model.initial_state(len(frames)), []
    for start in range(0, frames.shape[1], chunk):
        piece, state = model.step(frames[:, start : start + chunk], state, lengths)
        pieces.append(piece)
    return np.concatenate(pieces, axis=1)


@pytest.mark.parametrize("chunk", [3, 12, 21, 60])
def test_any_chunks_give_the_whole_bit_for_bit(model: AcousticModel, chunk: int) -> None:
    frames, lengths = frames_of(4, 180), np.array([180, 50, 121, 7])
    whole = outputs_of(model, frames, 180, lengths)
    np.testing.assert_array_equal(outputs_of(model, frames, chunk, lengths), whole)


def test_the_other_streams_of_a_batch_change_no_bit(model: AcousticModel) -> None:
    frames = frames_of(17, 63)
    together = outputs_of(model, frames, 21)
    for first, last in pairwise((0, 1, 3, 7, 17)):
        part = outputs_of(model, frames[first:last], 21)
        np.testing.assert_array_equal(part, together[first:last])


def test_batches_are_put_together_anew_between_steps(model: AcousticModel) -> None:
    """Two streams that meet in the middle of one of them, as in Batch Dispatch."""
    frames = frames_of(2, 42)
    alone = [outputs_of(model, frames[i : i + 1], 21) for i in range(2)]
    first, state = model.step(frames[:1, :21], model.initial_state(1))
    both = gather_state([state, model.initial_state(1)])
    second, states = model.step(np.stack([frames[0, 21:], frames[1, :21]]), both)
    apart = [model.initial_state(1) for _ in range(2)]
    scatter_state(states, apart)
    last, _ = model.step(frames[1:, 21:], apart[1])
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]]), alone[0][0])
    np.testing.assert_array_equal(np.concatenate([second[1], last[0]]), alone[1][0])


def test_the_outputs_are_nearly_those_of_float(bundle: Bundle, model: AcousticModel) -> None:
    exact = outputs_of(AcousticModel(bundle, arithmetic="float"), frames_of(4, 180), 60)
    found = outputs_of(model, frames_of(4, 180), 60)
    delay = bundle.model.delay
    difference = np.exp(found[:, delay:]) - np.exp(exact[:, delay:])
    assert 0 < np.abs(difference).max() < 0.25  # of a probability
    assert np.abs(difference).mean() < 0.003


def test_unsigned_weights_give_the_same_bits(bundle: Bundle, model: AcousticModel) -> None:
    """Processors without int8 instructions take these, so that no sum overflows."""
    graph = with_int8_products(bundle.model_path.read_bytes(), evaluate_constants, signed=False)
    unsigned = AcousticModel(bundle, arithmetic="int8")
    unsigned._session = open_session(graph, 1)
    frames = frames_of(5, 60)
    np.testing.assert_array_equal(outputs_of(unsigned, frames, 30), outputs_of(model, frames, 30))


def test_the_int8_numbers_are_those_of_the_bundle() -> None:
    """Nothing is rounded twice."""
    source = (SHIPPED / "en" / "model.onnx").read_bytes()
    made = onnx.load_model_from_string(with_int8_products(source, evaluate_constants))
    stored = onnx.load_model_from_string(source)

    def rows_in(model: onnx.ModelProto, *, across: bool) -> set[bytes]:
        tensors = [each for each in model.graph.initializer if "lookahead" not in each.name]
        arrays = [numpy_helper.to_array(tensor) for tensor in tensors]
        numbers = [array for array in arrays if array.dtype == np.int8 and array.ndim == 2]
        return {row.tobytes() for array in numbers for row in (array.T if across else array)}

    kept = rows_in(stored, across=False)
    assert rows_in(made, across=True) <= kept
    assert len(rows_in(made, across=True)) >= 6 * 1500  # W and U of three layers


def test_all_large_products_are_int8() -> None:
    source = (SHIPPED / "zh" / "model.onnx").read_bytes()
    made = onnx.load_model_from_string(with_int8_products(source, evaluate_constants))
    operators = [node.op_type for node in made.graph.node]
    assert not {"GRU", "MatMul"} & {*operators}
    num_floats = sum(
        int(np.prod(tensor.dims))
        for tensor in made.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    assert num_floats < 0.01 * sum(value.size for value in read_weights(source).values())


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_other_weights_are_rounded_when_int8_is_asked_for(
    precision: Precision, tmp_path: Path
) -> None:
    bundle = write_step(tmp_path, NETWORKS["gru"], precision)
    assert AcousticModel(bundle).arithmetic.name == "float"
    model = AcousticModel(bundle, arithmetic="int8")
    assert model.arithmetic.name == "int8"
    frames = frames_of(3, 60)
    exact = outputs_of(AcousticModel(bundle), frames, 60)
    assert 0 < np.abs(outputs_of(model, frames, 60) - exact).max() < 0.5


def test_a_model_of_whole_utterances_has_no_int8_form() -> None:
    bundle = load_bundle(READY["en", TINY_BIDIRECTIONAL])
    with pytest.raises(InputError, match="arithmetic int8: is for streaming models"):
        AcousticModel(bundle, arithmetic="int8")
    rounded = replace(bundle, model=replace(bundle.model, weights="int8"))
    assert AcousticModel(rounded).arithmetic.name == "float"


def test_a_graph_of_others_has_no_int8_form(tmp_path: Path) -> None:
    """One whose GRU layers are of the other kind that ONNX knows."""
    bundle = write_step(tmp_path, NETWORKS["gru"])
    graph = onnx.load(bundle.model_path)
    gru = next(node for node in graph.graph.node if node.op_type == "GRU")
    attribute = next(each for each in gru.attribute if each.name == "linear_before_reset")
    attribute.i = 0
    onnx.save(graph, bundle.model_path)
    with pytest.raises(InputError, match=r"model\.onnx: has no int8 arithmetic: its GRU layers"):
        AcousticModel(bundle, arithmetic="int8")
    facts = replace(bundle.model, arithmetic="int8")
    assert AcousticModel(replace(bundle, model=facts)).arithmetic.name == "float"
