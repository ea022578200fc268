"""The exported graph equals the network: whole, in chunks, in batches, at every precision."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.models import (
    READY,
    TINY,
    TINY_BIDIRECTIONAL,
    export_random_bundle,
    random_network,
    write_random_checkpoint,
)
from ds2.cli import main
from ds2.errors import InputError
from ds2.graph.weights import Precision, read_weights, rounded
from ds2.model.acoustic import UNKNOWN_LENGTH, AcousticModel, gather_state, scatter_state
from ds2.model.bundle import MODEL, NETWORK, Bundle, ModelFacts, load_bundle
from ds2.model.features import FeatureConfig
from ds2.text.alphabet import english_characters, mandarin_characters
from ds2.training.data.dataset import Batch
from ds2.training.export import (
    ParityError,
    assert_parity,
    chunked_log_probs,
    export,
)
from ds2.training.network.batch_norm import BatchNorm
from ds2.training.network.config import PRESETS, ConvolutionConfig, NetworkConfig
from ds2.training.network.folding import folded_network
from ds2.training.network.network import Network
from ds2.training.network.onnx_graph import build_graph, conv_delays, output_delay
from ds2.training.run.beginning import begin_from
from ds2.training.run.checkpoint import (
    BEST,
    LAST,
    load_network,
    read_checkpoint,
    write_checkpoint,
)

CONVOLUTIONS = {
    "small": TINY.convolutions,
    "strides-2-2": (
        ConvolutionConfig(3, (41, 11), (2, 2)),
        ConvolutionConfig(3, (21, 11), (2, 2)),
    ),
    "strides-2-3-1": (
        ConvolutionConfig(3, (41, 11), (2, 2)),
        ConvolutionConfig(3, (21, 5), (2, 3)),
        ConvolutionConfig(3, (21, 3), (2, 1)),
    ),
    "1-d": (ConvolutionConfig(6, (0, 11), (1, 2)), ConvolutionConfig(6, (0, 5), (1, 1))),
    "kernel-1": (ConvolutionConfig(3, (5, 1), (8, 2)),),
}


def facts_of(config: NetworkConfig, precision: Precision) -> Bundle:
    model = ModelFacts(
        streaming=not config.bidirectional,
        time_stride=config.time_stride,
        delay=0 if config.bidirectional else output_delay(config),
        right_context_frames=config.right_context_frames,
        num_parameters=0,
        weights=precision,
    )
    return Bundle(Path("nowhere"), english_characters(), FeatureConfig(), model)


def prove(config: NetworkConfig, precision: Precision = "float32") -> None:
    network = random_network(config, 29)
    weights = network.inference_weights()
    graph = build_graph(config, weights, precision)
    assert_parity(facts_of(config, precision), network, rounded(weights, precision), graph)


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", ["gru", "rnn", "lstm"])
@pytest.mark.parametrize("convolutions", CONVOLUTIONS)
def test_every_forward_network_streams_as_it_trains(recurrent: str, convolutions: str) -> None:
    prove(replace(TINY, recurrent=recurrent, convolutions=CONVOLUTIONS[convolutions]))


@pytest.mark.parametrize("recurrent", ["gru", "rnn", "lstm"])
def test_every_bidirectional_network_is_exported_whole(recurrent: str) -> None:
    prove(replace(TINY_BIDIRECTIONAL, recurrent=recurrent, fully_connected=(12,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"lookahead": 0},
        {"lookahead": 1},
        {"fully_connected": (20, 12)},
        {"batch_norm": False},
    ],
    ids=str,
)
def test_every_option_is_exported(changes: dict) -> None:
    prove(replace(TINY, **changes))


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_stored_weights_are_read_back_as_they_were_rounded(precision: Precision) -> None:
    prove(replace(TINY, hidden_size=64), precision)


def test_int8_weights_take_a_quarter_and_are_near_the_others() -> None:
    config = replace(TINY, hidden_size=128)
    weights = random_network(config, 29).inference_weights()
    sizes = {p: len(build_graph(config, weights, p)) for p in ("float32", "float16", "int8")}
    assert sizes["float16"] < 0.55 * sizes["float32"]
    assert sizes["int8"] < 0.32 * sizes["float32"]
    for name, value in rounded(weights, "int8").items():
        largest = np.abs(weights[name]).max(axis=tuple(range(1, value.ndim)), keepdims=True)
        assert (np.abs(value - weights[name]) <= 0.502 * largest / 127).all(), name


def test_the_graph_holds_no_batch_norm(tmp_path: Path) -> None:
    bundle = export_random_bundle(tmp_path)
    operators = {node.op_type for node in onnx.load(bundle.model_path).graph.node}
    assert "BatchNormalization" not in operators
    assert "GRU" in operators


VARIANTS = {
    "gru": TINY,
    "lstm-no-lookahead": replace(TINY, recurrent="lstm", lookahead=0),
    "rnn-strides-2-2": replace(
        TINY, recurrent="rnn", lookahead=5, convolutions=CONVOLUTIONS["strides-2-2"]
    ),
    "gru-1-d": replace(TINY, lookahead=5, convolutions=CONVOLUTIONS["1-d"]),
}


@pytest.fixture(scope="module", params=VARIANTS)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AcousticModel:
    directory = tmp_path_factory.mktemp(request.param)
    return AcousticModel(export_random_bundle(directory, VARIANTS[request.param]))


def features_of(num_frames: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((num_frames, 161)).astype(np.float32)


def alone(model: AcousticModel, features: np.ndarray, chunk_outputs: int = 100) -> np.ndarray:
    chunk = model.bundle.model.time_stride * chunk_outputs
    return chunked_log_probs(model, features[None], np.array([len(features)]), chunk)[0]


@given(st.integers(1, 60), st.integers(1, 12))
@settings(deadline=None, max_examples=15)
def test_any_chunks_give_what_the_whole_gives(
    model: AcousticModel, num_frames: int, chunk_outputs: int
) -> None:
    features = features_of(num_frames)
    found = alone(model, features, chunk_outputs)
    assert len(found) == -(-num_frames // model.bundle.model.time_stride)
    np.testing.assert_allclose(found, alone(model, features), atol=2e-5)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 70)), min_size=2, max_size=4))
@settings(deadline=None, max_examples=10)
def test_streams_at_any_positions_share_a_batch(
    model: AcousticModel, streams: list[tuple[int, int]]
) -> None:
    """Each stream begins at its own step and has its own length."""
    stride, delay = model.bundle.model.time_stride, model.bundle.model.delay
    chunk = 2 * stride
    utterances = [features_of(length, seed) for seed, (_, length) in enumerate(streams)]
    states = [model.initial_state(1) for _ in streams]
    outputs: list[list[np.ndarray]] = [[] for _ in streams]
    needed = [delay + -(-length // stride) for _, length in streams]
    for step in itertools.count():
        live = [
            i
            for i, (start, _) in enumerate(streams)
            if step >= start and 2 * len(outputs[i]) < needed[i]
        ]
        if not live and step > 8:
            break
        if not live:
            continue
        frames = np.ones((len(live), chunk, 161), np.float32)  # past the end: any values
        lengths = np.full(len(live), UNKNOWN_LENGTH)
        for row, i in enumerate(live):
            begin = (step - streams[i][0]) * chunk
            piece = utterances[i][begin : begin + chunk]
            frames[row, : len(piece)] = piece
            if begin + chunk >= len(utterances[i]):
                lengths[row] = len(utterances[i])
        own = [states[i] for i in live]
        log_probs, state = model.step(frames, gather_state(own), lengths)
        scatter_state(state, own)
        for i, row in zip(live, log_probs, strict=True):
            outputs[i].append(row)
    for features, pieces in zip(utterances, outputs, strict=True):
        expected = alone(model, features)
        found = np.concatenate(pieces)[delay : delay + len(expected)]
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_chunk_that_no_stride_divides_is_refused(model: AcousticModel) -> None:
    stride = model.bundle.model.time_stride
    with pytest.raises(ValueError, match=f"a multiple of {stride} frames, not {stride + 1}"):
        model.step(np.zeros((1, stride + 1, 161), np.float32), model.initial_state(1))


def test_the_delay_is_the_right_context_and_no_more() -> None:
    for name in ("small", "medium", "english-streaming", "mandarin-streaming"):
        config = PRESETS[name]
        stride = config.time_stride
        # A chunk's last output may use up to stride - 1 frames after its own frame.
        frames_seen = output_delay(config) * stride + stride - 1
        assert 0 <= frames_seen - config.right_context_frames < 3 * stride, name
        assert len(conv_delays(config)) == len(config.convolutions)


def test_a_graph_that_is_not_the_network_is_refused() -> None:
    network = random_network(TINY, 29)
    weights = network.inference_weights()
    wrong = {**weights, "output.bias": weights["output.bias"] + np.eye(1, 29, 3)[0] * 0.01}
    graph = build_graph(TINY, {k: v.astype(np.float32) for k, v in wrong.items()}, "float32")
    with pytest.raises(ParityError, match=r"differ by 0\.0"):
        assert_parity(facts_of(TINY, "float32"), network, weights, graph)


def test_a_network_that_has_diverged_is_refused(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path / "c.safetensors", TINY, english_characters())
    checkpoint = read_checkpoint(path)
    checkpoint.network["recurrent.1.input_weight"][0, 0] = np.nan
    write_checkpoint(path, checkpoint)
    with pytest.raises(InputError, match=r"recurrent\.1\.fwd\.weight_ih holds NaN or infinity: "):
        export(path, tmp_path / "bundle")


def test_a_graph_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_random_checkpoint(tmp_path / "c.safetensors", TINY, english_characters())
    monkeypatch.setattr("ds2.training.export.TOLERANCE", -1.0)  # nothing is near enough
    assert main(["export", str(path), "-o", str(tmp_path / "bundle")]) == 1
    assert "c.safetensors: not exported: folded weights: log-prob" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_folded_network_is_the_network() -> None:
    for config in (TINY, TINY_BIDIRECTIONAL):
        network = random_network(config, 29)
        folded = folded_network(network, network.inference_weights())
        features = torch.from_numpy(features_of(50)[None])
        with torch.no_grad():
            one, _ = network(features, torch.tensor([50]))
            other, _ = folded(features, torch.tensor([50]))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_forward_network_trained_on_whole_clips_cannot_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_random_checkpoint(path, TINY, english_characters(), normalisation="clip")
    with pytest.raises(InputError, match=r'"clip" cannot stream: train it with "causal"'):
        export(path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_run_without_the_checkpoint_asked_for_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no averaged checkpoint"):
        export(tmp_path, tmp_path / "bundle", checkpoint_name="averaged")


def test_a_run_that_was_not_evaluated_yet_gives_its_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"holds no checkpoint: train it"):
        export(tmp_path, tmp_path / "bundle")
    (tmp_path / "checkpoints").mkdir()
    last, best = tmp_path / "checkpoints" / LAST, tmp_path / "checkpoints" / BEST
    write_random_checkpoint(last, TINY, english_characters())
    command = ["export", str(tmp_path), "-o", str(tmp_path / "bundle")]
    assert main(command) == 0
    assert "exporting the last" in capsys.readouterr().err
    assert main([*command, "--checkpoint", "best"]) == 2
    capsys.readouterr()
    write_random_checkpoint(best, TINY, english_characters())
    assert main(command) == 0
    assert not capsys.readouterr().err


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    bundle = export_random_bundle(tmp_path)
    bundle.model_path.write_bytes(b"not onnx")
    with pytest.raises(InputError, match=f"{MODEL}: cannot be loaded"):
        AcousticModel(bundle)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_weights_are_read_back_from_the_graph(precision: Precision) -> None:
    weights = random_network(replace(TINY, hidden_size=64), 29).inference_weights()
    graph = build_graph(replace(TINY, hidden_size=64), weights, precision)
    found = read_weights(graph)
    for name, value in rounded(weights, precision).items():
        if not name.endswith("bias_hh"):  # zero, so it is not stored
            np.testing.assert_array_equal(found[name], value)


def test_a_run_can_begin_with_a_bundle(tmp_path: Path) -> None:
    bundle = export_random_bundle(tmp_path)
    plain = Network(replace(TINY, batch_norm=False), 29)
    assert "all weights from" in begin_from(plain, bundle.alphabet, bundle.path)
    features = features_of(60)
    with torch.no_grad():
        log_probs, _ = plain.eval()(torch.from_numpy(features[None]), torch.tensor([60]))
    np.testing.assert_allclose(log_probs[0], alone(AcousticModel(bundle), features), atol=2e-5)
    chinese = mandarin_characters(["你好"])
    told = begin_from(Network(plain.config, len(chinese)), chinese, bundle.path)
    assert "the output layer takes the weights of 0 of 31 labels" in told


def test_a_run_can_begin_with_the_network_that_a_bundle_keeps(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path / "last.safetensors", TINY, english_characters())
    network, _ = load_network(path)
    target = tmp_path / "bundle"
    bundle = export(path, target, with_network=True)
    assert bundle == load_bundle(target)
    needed = [path for path in target.iterdir() if path.name != NETWORK]
    assert bundle.num_bytes == sum(path.stat().st_size for path in needed)
    # Every weight is as close as float16 is, and so is batch norm.
    begun = Network(TINY, 29)
    told = begin_from(begun, bundle.alphabet, target)
    assert f"all weights from {target / NETWORK} (step " in told
    for name, value in begun.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], atol=1e-6, rtol=1e-3)
    features = torch.from_numpy(features_of(60)[None])
    with torch.no_grad():
        found, expected = (n.eval()(features, torch.tensor([60]))[0] for n in (begun, network))
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    # A network without batch norm takes the folded weights of the graph.
    plain = Network(replace(TINY, batch_norm=False), 29)
    assert NETWORK not in begin_from(plain, bundle.alphabet, target)
    # An export without it takes the old one away. Then the graph's weights count.
    assert main(["export", str(path), "-o", str(target)]) == 0
    assert not (target / NETWORK).exists()
    told = begin_from(begun, bundle.alphabet, target, made_up_batches(1))
    assert "batch norm measured on 1 minibatches" in told


def test_the_network_that_a_bundle_keeps_names_no_place_of_its_training(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path / "last.safetensors", TINY, english_characters())
    checkpoint = read_checkpoint(path)
    data = replace(checkpoint.config.data, train=(str(tmp_path / "tones" / "train.jsonl"),))
    training = replace(checkpoint.config.training, init_from=tmp_path)
    config = replace(checkpoint.config, data=data, training=training)
    optimiser = {"output.bias/exp_avg": torch.zeros(29)}
    write_checkpoint(path, replace(checkpoint, config=config, optimiser=optimiser))
    assert main(["export", str(path), "-o", str(tmp_path / "out"), "--with-network"]) == 0
    kept = read_checkpoint(tmp_path / "out" / NETWORK)
    assert kept.config.data.train == ("tones/train.jsonl",)
    assert not kept.optimiser
    assert str(tmp_path).encode() not in (tmp_path / "out" / NETWORK).read_bytes()


def test_the_network_of_another_bundle_is_refused(tmp_path: Path) -> None:
    alphabet = english_characters()
    path = write_random_checkpoint(tmp_path / "last.safetensors", TINY, alphabet)
    target = tmp_path / "bundle"
    export(path, target, with_network=True)
    shutil.copy(path, target / NETWORK)
    with pytest.raises(InputError, match=r"is not what bundle\.json tells: remove it, or export"):
        begin_from(Network(TINY, 29), alphabet, target)
    (target / NETWORK).unlink()  # as in an installed package, which leaves it out
    told = begin_from(Network(TINY, 29), alphabet, target, made_up_batches(1))
    assert "batch norm measured on 1 minibatches" in told


@pytest.mark.parametrize(("language", "config"), READY, ids=["f-en", "f-zh", "b-en", "b-zh"])
def test_the_bundles_that_lie_ready_for_tests_are_what_the_export_writes(
    language: str, config: NetworkConfig, tmp_path: Path
) -> None:
    ready = load_bundle(READY[language, config])
    written = export_random_bundle(tmp_path, config, language=language)
    assert replace(written, path=ready.path) == ready
    frames = np.random.default_rng(0).standard_normal((1, 36, 161)).astype(np.float32)
    one, two = AcousticModel(ready), AcousticModel(written)
    if config.bidirectional:
        lengths = np.array([36])
        np.testing.assert_allclose(
            one.whole(frames, lengths), two.whole(frames, lengths), atol=1e-3
        )
    else:
        pair = [model.step(frames, model.initial_state(1))[0] for model in (one, two)]
        np.testing.assert_allclose(*pair, atol=1e-3)


def made_up_batches(num_batches: int) -> list[Batch]:
    """Minibatches of random features, utterances of different lengths side by side."""
    torch.manual_seed(4)
    return [
        Batch(
            features=torch.randn(3, 60, TINY.num_bins),
            frame_lengths=torch.tensor([60, 45, 30]),
            labels=torch.ones(3, 2, dtype=torch.int64),
            label_lengths=torch.tensor([2, 2, 2]),
            indices=[0, 1, 2],
            errors=[],
        )
        for _ in range(num_batches)
    ]


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, bidirectional=True, lookahead=0),
        replace(TINY, fully_connected=(9,), num_recurrent=2, recurrent="rnn"),
        replace(TINY, recurrent="lstm"),
    ],
)
def test_a_bundle_fills_a_network_with_batch_norm_and_it_is_the_same_function(
    tmp_path: Path, config: NetworkConfig
) -> None:
    bundle = export_random_bundle(tmp_path, config)
    network = Network(config, 29)
    batches = made_up_batches(6)
    told = begin_from(network, bundle.alphabet, bundle.path, batches)
    assert "batch norm measured on 6 minibatches" in told
    folded = Network(replace(config, batch_norm=False), 29)
    begin_from(folded, bundle.alphabet, bundle.path)
    batch = made_up_batches(7)[-1]  # another network
    for norm in (module for module in network.modules() if isinstance(module, BatchNorm)):
        assert norm.num_batches == 6
        assert not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
    with torch.no_grad():
        expected, lengths = folded.eval()(batch.features, batch.frame_lengths)
        found, _ = network.eval()(batch.features, batch.frame_lengths)
        trained, _ = network.train()(batch.features, batch.frame_lengths)
    assert lengths.min() > 0
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    # It is not far off with its own statistics, either: they come from similar data.
    assert float((trained - expected).abs().mean()) < 0.2 * float(expected.std())


def test_a_bundle_of_another_network_or_without_minibatches_is_refused(tmp_path: Path) -> None:
    bundle = export_random_bundle(tmp_path)
    with pytest.raises(InputError, match="needs minibatches to measure batch norm on"):
        begin_from(Network(TINY, 29), bundle.alphabet, bundle.path)
    for batch_norm in (False, True):
        other = Network(replace(TINY, batch_norm=batch_norm, hidden_size=8), 29)
        with pytest.raises(
            InputError, match=r"differs from this one in recurrent\.0\.input_weight"
        ):
            begin_from(other, bundle.alphabet, bundle.path, made_up_batches(1))


def test_an_export_says_what_the_model_computes_in(tmp_path: Path) -> None:
    alphabet = english_characters()
    source = write_random_checkpoint(tmp_path / "forward.safetensors", TINY, alphabet)
    assert export(source, tmp_path / "auto", precision="int8").model.arithmetic == "auto"
    for arithmetic in ("float", "int8"):
        export(source, tmp_path / arithmetic, precision="int8", arithmetic=arithmetic)
        bundle = load_bundle(tmp_path / arithmetic)
        assert bundle.model.arithmetic == arithmetic
        assert AcousticModel(bundle).arithmetic.name == arithmetic
    whole = write_random_checkpoint(tmp_path / "whole.safetensors", TINY_BIDIRECTIONAL, alphabet)
    with pytest.raises(InputError, match="arithmetic int8 is for streaming models"):
        export(whole, tmp_path / "whole", precision="int8", arithmetic="int8")
    assert not (tmp_path / "whole").exists()
