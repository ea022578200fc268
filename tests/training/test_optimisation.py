"""Muon, learning rates by layer, the final decay; SOAP if its package is installed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aids.tones import random_texts, tone_config, write_tones
from ds2.errors import InputError
from ds2.training.config import TrainingConfig
from ds2.training.network.config import NetworkConfig
from ds2.training.network.network import Network
from ds2.training.optimisation.muon import Muon, orthogonal
from ds2.training.optimisation.optimiser import (
    build_optimisers,
    layer_shares,
    set_learning_rate,
)
from ds2.training.optimisation.schedule import learning_rate
from ds2.training.run.checkpoint import LAST, read_checkpoint
from ds2.training.run.run import train


def network_of(config: NetworkConfig | None = None) -> Network:
    torch.manual_seed(0)
    return Network(config or tone_config(Path("a"), Path("b")).network, 29)


def give_gradients(network: Network, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48), (3, 20, 12)])
def test_orthogonal_matrices_have_singular_values_near_1_and_the_same_directions(
    shape: tuple[int, ...],
) -> None:
    torch.manual_seed(1)
    matrices = torch.randn(shape)
    found = orthogonal(matrices, 6)
    values = torch.linalg.svdvals(found)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    exact = u @ vh
    cosine = (found * exact).sum() / (found.norm() * exact.norm())
    assert cosine > 0.97


def test_muon_is_torchs_for_a_whole_matrix() -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch.optim.Muon came with torch 2.9")
    torch.manual_seed(2)
    start = torch.randn(32, 20)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    muon = Muon([{"params": [ours]}], lr=0.02, weight_decay=0.1, precision=torch.bfloat16)
    other = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(32, 20)
        muon.step()
        other.step()
    assert not torch.allclose(ours, start, atol=0.01)
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_muon_moves_each_gate_of_a_matrix_for_itself() -> None:
    torch.manual_seed(3)
    whole = torch.nn.Parameter(torch.randn(36, 12))
    gates = [torch.nn.Parameter(gate.detach().clone()) for gate in whole.chunk(3)]
    together = Muon([{"params": [whole], "gates": 3}])
    apart = Muon([{"params": gates}])
    whole.grad = torch.randn(36, 12)
    for gate, gradient in zip(gates, whole.grad.chunk(3), strict=True):
        gate.grad = gradient.clone()
    together.step()
    apart.step()
    torch.testing.assert_close(whole.detach(), torch.cat([g.detach() for g in gates]))


def test_muon_moves_the_hidden_matrices_and_adamw_the_rest() -> None:
    config = replace(tone_config(Path("a"), Path("b")).network, fully_connected=(20,))
    network = network_of(config)
    adamw, muon = build_optimisers(network, TrainingConfig(optimiser="muon"))
    names = {parameter: name for name, parameter in network.named_parameters()}
    moved = {names[p] for group in muon.param_groups for p in group["params"]}
    assert moved == {
        "recurrent.0.input_weight",
        "recurrent.0.recurrent_weight_forward",
        "fc.0.weight",
    }
    rest = {names[p] for group in adamw.param_groups for p in group["params"]}
    assert rest == set(names.values()) - moved


def test_each_layer_learns_more_slowly_than_the_one_above() -> None:
    network = network_of(replace(tone_config(Path("a"), Path("b")).network, num_recurrent=2))
    shares = layer_shares(network, 0.5)
    assert shares["output.bias"] == 1
    assert shares["lookahead.weight"] == 0.5
    assert shares["recurrent.1.input_weight"] == shares["recurrent.1.batch_norm.gamma"] == 0.25
    assert shares["recurrent.0.input_weight"] == 0.125
    assert shares["conv.0.weight"] == 0.0625
    for name in ("adamw", "muon", "sgd"):
        optimisers = build_optimisers(network, TrainingConfig(optimiser=name, layer_decay=0.5))
        set_learning_rate(optimisers, 1e-3)
        rates = {
            parameter: group["lr"]
            for optimiser in optimisers
            for group in optimiser.param_groups
            for parameter in group["params"]
        }
        assert len(rates) == len(list(network.parameters()))
        assert rates[network.conv[0].weight] == pytest.approx(1e-3 / 16)
        factor = 20 if name == "muon" else 1  # 0.02 of 1e-3
        assert rates[network.recurrent[0].input_weight] == pytest.approx(factor * 1e-3 / 8)


@pytest.mark.parametrize(("shape", "half"), [("linear", 0.5), ("sqrt", 1 - 0.5**0.5)])
def test_the_final_decay_falls_to_0_at_the_end(shape: str, half: float) -> None:
    config = TrainingConfig(
        schedule="constant", learning_rate=1.0, warmup_steps=0, hours=10.0, decay_hours=4.0
    )
    config = replace(config, decay_shape=shape)
    rates = [learning_rate(config, 99, 0.0, hours) for hours in (0.0, 6.0, 8.0, 10.0)]
    assert rates == pytest.approx([1.0, 1.0, half, 0.0])


def test_a_cosine_may_be_over_hours() -> None:
    config = TrainingConfig(schedule="cosine", learning_rate=1.0, warmup_steps=0, hours=10.0)
    assert learning_rate(config, 9, 3.0, 5.0) == pytest.approx(0.505)


def test_soap_moves_the_hidden_matrices_or_says_what_it_needs() -> None:
    network = network_of()
    config = TrainingConfig(optimiser="soap")
    try:
        import pytorch_optimizer  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(InputError, match="pip install pytorch-optimizer"):
            build_optimisers(network, config)
        return
    before = network.recurrent[0].input_weight.detach().clone()
    optimisers = build_optimisers(network, config)
    for seed in range(3):
        give_gradients(network, seed)
        for optimiser in optimisers:
            optimiser.step()
    assert not torch.equal(network.recurrent[0].input_weight, before)


def test_a_run_with_soap_goes_on_with_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_optimizer")
    texts = random_texts(12)
    manifests = write_tones(tmp_path, "train", texts), write_tones(tmp_path, "dev", texts[:2], 1)
    found = []
    for name, ends in (("whole", (3,)), ("parts", (1, 2, 3))):
        for epochs in ends:
            config = tone_config(
                *manifests,
                training__optimiser="soap",
                training__soap_every=2,
                training__schedule="constant",
                training__epochs=epochs,
                data__max_batch_size=4,
                data__num_workers=0,
            )
            (tmp_path / name).mkdir(exist_ok=True)
            assert train(tmp_path / name, config) is None
        found.append(read_checkpoint(tmp_path / name / "checkpoints" / LAST))
    whole, parts = found
    assert whole.progress.step == parts.progress.step == 9
    assert all(torch.equal(whole.network[name], parts.network[name]) for name in whole.network)
    assert whole.optimiser.keys() == parts.optimiser.keys()
    assert all(
        torch.equal(whole.optimiser[name], parts.optimiser[name]) for name in whole.optimiser
    )
