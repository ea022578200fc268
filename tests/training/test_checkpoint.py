"""Checkpoints: reading gives what was written, damage is reported, a good one always exists."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aids.tones import tone_config
from ds2.errors import InputError
from ds2.text.alphabet import english_characters
from ds2.training.network.network import Network
from ds2.training.optimisation.optimiser import Optimisers, build_optimisers
from ds2.training.optimisation.state import optimiser_tensors, restore_optimisers
from ds2.training.run.checkpoint import (
    BEST,
    LAST,
    PREVIOUS,
    Best,
    Checkpoint,
    CheckpointDirectory,
    Progress,
    load_network,
    read_checkpoint,
    write_checkpoint,
)


def trained(optimiser_name: str = "adamw") -> tuple[Network, Optimisers, Checkpoint]:
    """A network after an artificial step, its optimiser, and a checkpoint of both."""
    config = tone_config(Path("/a/train.jsonl"), Path("/a/dev.jsonl"))
    config = replace(config, training=replace(config.training, optimiser=optimiser_name))
    alphabet = english_characters()
    torch.manual_seed(0)
    network = Network(config.network, len(alphabet))
    optimiser = build_optimisers(network, config.training)
    log_probs, _ = network(torch.randn(2, 30, 161), torch.tensor([30, 20]))
    log_probs.square().sum().backward()
    for each in optimiser:
        each.step()
    return (
        network,
        optimiser,
        Checkpoint(
            config=config,
            alphabet=alphabet,
            progress=Progress(epoch=2, batch_index=3, step=9, best=Best(0.5, 0.25, 8, 1)),
            network=network.state_dict(),
            optimiser=optimiser_tensors(optimiser, network),
            facts={"torch": "x"},
        ),
    )


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("optimiser_name", ["adamw", "sgd"])
def test_what_is_written_is_read_bit_for_bit(tmp_path: Path, optimiser_name: str) -> None:
    network, optimiser, checkpoint = trained(optimiser_name)
    write_checkpoint(tmp_path / "a.safetensors", checkpoint)
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert same(read.network, checkpoint.network)
    assert same(read.optimiser, checkpoint.optimiser)
    assert read.optimiser
    assert replace(read, network={}, optimiser={}) == replace(checkpoint, network={}, optimiser={})
    fresh = build_optimisers(network, read.config.training)
    restore_optimisers(fresh, network, read.optimiser)
    assert same(optimiser_tensors(fresh, network), optimiser_tensors(optimiser, network))


def test_equal_states_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_checkpoint(tmp_path / name, trained()[2])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_network_comes_back_from_a_file_or_a_run_directory(tmp_path: Path) -> None:
    network, _, checkpoint = trained()
    directory = CheckpointDirectory(tmp_path / "checkpoints")
    directory.save_last(checkpoint)
    for source in (tmp_path, tmp_path / "checkpoints" / LAST):
        loaded, read = load_network(source)
        assert not loaded.training
        assert same(loaded.state_dict(), network.state_dict())
        assert read.alphabet == checkpoint.alphabet
    with pytest.raises(InputError, match="is neither a checkpoint nor a run directory"):
        load_network(tmp_path / "absent")


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_truncated_or_altered_file_is_refused_by_name(
    tmp_path: Path, data: st.DataObject
) -> None:
    whole = tmp_path / "whole.safetensors"
    if not whole.exists():
        write_checkpoint(whole, trained()[2])
    contents = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(contents) - 1))
    if data.draw(st.booleans()):
        contents = contents[:place]
    else:
        contents[place] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(contents)
    with pytest.raises(InputError, match=r"damaged\.safetensors") as caught:
        read_checkpoint(damaged)
    assert "\n" not in str(caught.value)


def test_other_files_and_other_versions_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "text").write_text("hello")
    save_file({"x": torch.zeros(2)}, tmp_path / "plain")
    save_file({"x": torch.zeros(2)}, tmp_path / "new", {"ds2": '{"format_version": 99}'})
    for name, problem in (
        ("text", "damaged, or no checkpoint"),
        ("plain", "no checkpoint of ds2"),
        ("new", "version 99"),
        ("absent", "cannot be read"),
    ):
        with pytest.raises(InputError, match=problem):
            read_checkpoint(tmp_path / name)


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    assert directory.newest() == (None, [])
    checkpoint = trained()[2]
    for step in (1, 2, 3):
        progress = replace(checkpoint.progress, step=step)
        directory.save_last(replace(checkpoint, progress=progress))
        if step == 1:
            directory.keep_as_best()
    steps = [read_checkpoint(tmp_path / name).progress.step for name in (LAST, PREVIOUS, BEST)]
    assert steps == [3, 2, 1]

    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:1000])
    path, problems = directory.newest()
    assert path is not None
    assert read_checkpoint(path).progress.step == 2
    assert len(problems) == 1
    assert read_checkpoint(tmp_path / LAST).progress.step == 2  # it replaces the damaged one
    directory.save_last(checkpoint)
    assert read_checkpoint(tmp_path / PREVIOUS).progress.step == 2


def test_when_all_checkpoints_are_damaged_the_run_is_not_begun_again(tmp_path: Path) -> None:
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"last\.safetensors"):
        CheckpointDirectory(tmp_path).newest()


def test_only_the_newest_epochs_are_kept(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    directory.save_last(trained()[2])
    for epoch in range(1, 5):
        directory.keep_epoch(epoch, 2)
    assert [path.stem for path in directory.epochs()] == ["epoch-0003", "epoch-0004"]
    directory.keep_epoch(5, 0)
    assert directory.epochs() == []
