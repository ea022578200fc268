"""Signals to all processes of a run at once, and errors in loading processes."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import DataLoader

from aids.runs import TRAIN, lines
from aids.tones import QUICKSTART, random_texts, tone_config, tone_settings, write_tones
from ds2.text.alphabet import english_characters
from ds2.training.data.examples import read_utterances, select_for_evaluation
from ds2.training.data.processes import Loader, ended_processes
from ds2.training.network.network import Network
from ds2.training.run.checkpoint import LAST, read_checkpoint
from ds2.training.run.distributed import Workers
from ds2.training.run.evaluate import Evaluator

SPAWNING = """
import multiprocessing, sys
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    from ds2.cli import main
    sys.exit(main(sys.argv[1:]))
"""
WITHOUT_TENSORBOARD = "import sys; sys.modules['tensorboard'] = None\n" + TRAIN
ANSWER = "finishing this step, then saving; press Ctrl-C again to stop now"
DS2 = [sys.executable, "-m", "ds2"]


def settings(directory: Path, **changes: object) -> list[str]:
    """Overrides for a run that lasts longer than any test."""
    texts = random_texts(24)
    train = write_tones(directory, "train", texts)
    dev = write_tones(directory, "dev", texts[:2], 1)
    changes = {"training__epochs": 9999, "training__log_every": 1, **changes}
    return tone_settings(train, dev, **changes)


def command(run_dir: Path, overrides: list[str]) -> list[str]:
    sets = [word for setting in overrides for word in ("--set", setting)]
    return ["train", str(QUICKSTART), "-o", str(run_dir), *sets]


def start_group(words: list[str]) -> "subprocess.Popen[str]":
    """Start a command in its own process group."""
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_steps(process: "subprocess.Popen[str]", run_dir: Path, num_lines: int = 3) -> None:
    while process.poll() is None and len(lines(run_dir)) < num_lines:
        time.sleep(0.01)


def wait_until_gone(group: int) -> None:
    """Wait until no process of the group is left, or until the test's time limit."""
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_workers", "number"), [(0, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGTERM)]
)
def test_a_signal_to_the_whole_group_ends_in_a_checkpoint(
    tmp_path: Path, num_workers: int, number: signal.Signals
) -> None:
    run_dir = tmp_path / "a run"
    overrides = settings(tmp_path, data__num_workers=num_workers)
    process = start_group([*DS2, *command(run_dir, overrides)])
    wait_for_steps(process, run_dir)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    step = read_checkpoint(run_dir / "checkpoints" / LAST).progress.step
    assert step > 0
    assert errors.splitlines().count(ANSWER) == 1
    assert (
        errors.splitlines()[-1]
        == f"stopped at step {step}, saved; go on with: ds2 train '{run_dir}'"
    )
    wait_until_gone(process.pid)


@pytest.mark.slow
def test_a_signal_to_torchrun_and_its_processes_ends_in_a_checkpoint(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--standalone", "-m", "ds2"]
    process = start_group([*torchrun, *command(run_dir, settings(tmp_path, data__num_workers=1))])
    wait_for_steps(process, run_dir)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    step = read_checkpoint(run_dir / "checkpoints" / LAST).progress.step
    assert errors.count(ANSWER) == 1
    assert errors.count(f"stopped at step {step}, saved; go on with: ds2 train {run_dir}") == 1
    wait_until_gone(process.pid)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_at_once(tmp_path: Path) -> None:
    # A step of many minibatches lasts long enough for both.
    overrides = settings(tmp_path, training__accumulate_batches=99, data__max_batch_size=1)
    process = start_group([*DS2, *command(tmp_path / "run", overrides)])
    wait_for_steps(process, tmp_path / "run")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while ANSWER not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode in (130, 128 + signal.SIGINT)
    assert "Traceback" not in errors


@pytest.mark.slow
def test_loading_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    overrides = settings(tmp_path, data__num_workers=2)
    process = start_group([*DS2, *command(tmp_path / "run", overrides)])
    wait_for_steps(process, tmp_path / "run")
    process.kill()
    process.communicate(timeout=100)
    wait_until_gone(process.pid)


def test_an_error_leaves_no_loading_process_and_all_others() -> None:
    other = multiprocessing.Process(target=time.sleep, args=(100,))
    other.start()
    numbers: DataLoader[int] = DataLoader(list(range(100)), num_workers=2)  # type: ignore[arg-type]
    batches = iter(Loader(numbers))
    handlers = []

    def fail() -> None:
        with ended_processes():
            next(batches)  # the iterator outlives the error, as in an error's frame
            assert len(multiprocessing.active_children()) == 3
            handlers.append(signal.getsignal(signal.SIGCHLD))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert multiprocessing.active_children() == [other]
    assert handlers == [signal.getsignal(signal.SIGCHLD)] != [signal.SIG_DFL]  # torch's again
    other.kill()
    other.join()


def _evaluate(rank: int, folder: str) -> None:
    """One of two processes; the second gets a signal in the middle of an evaluation."""
    directory = Path(folder)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", rank=rank, world_size=2, store=store)
    manifest = directory / "dev.jsonl"
    config = tone_config(manifest, manifest, data__max_batch_size=2, data__num_workers=0)
    alphabet = english_characters()
    dev = select_for_evaluation(read_utterances([manifest]), alphabet, config)
    network = Network(config.network, len(alphabet))
    evaluator = Evaluator(dev, alphabet, config, Workers(rank, 2, rank), torch.device("cpu"))
    times_asked = 0

    def stop() -> bool:
        nonlocal times_asked
        times_asked += 1
        return rank == 1 and times_asked == 3

    assert evaluator.evaluate(network, stop) is None
    whole = evaluator.evaluate(network)
    assert whole is not None
    (directory / f"{rank}.txt").write_text(f"{times_asked} {whole.num_utterances}")
    dist.destroy_process_group()


def test_an_evaluation_by_two_processes_ends_when_one_is_asked_to_stop(tmp_path: Path) -> None:
    write_tones(tmp_path, "dev", random_texts(9))  # only one process has the last minibatch
    mp.spawn(_evaluate, (str(tmp_path),), nprocs=2)
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["3 9", "3 9"]


def test_the_processes_of_an_evaluation_end_with_it(tmp_path: Path) -> None:
    """Otherwise they would keep a copy of training's memory from the time of their start."""
    manifest = write_tones(tmp_path, "dev", random_texts(4))
    config = tone_config(manifest, manifest, data__max_batch_size=2, data__num_workers=1)
    alphabet = english_characters()
    dev = select_for_evaluation(read_utterances([manifest]), alphabet, config)
    evaluator = Evaluator(dev, alphabet, config, Workers(), torch.device("cpu"))
    network = Network(config.network, len(alphabet))
    before = multiprocessing.active_children()
    for _ in range(2):
        evaluation = evaluator.evaluate(network)
        assert evaluation is not None
        assert evaluation.num_utterances == 4
        assert multiprocessing.active_children() == before


@pytest.mark.slow
def test_too_little_shared_memory_is_told_in_one_line(tmp_path: Path) -> None:
    words = [*DS2, *command(tmp_path / "run", settings(tmp_path, data__num_workers=1))]
    limit = 50_000  # bytes of any file, those of shared memory included: less than a minibatch
    found = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1].startswith("ds2: data.num_workers: the shared memory")


@pytest.mark.slow
def test_loading_processes_can_be_spawned(tmp_path: Path) -> None:
    script = tmp_path / "spawning.py"
    script.write_text(SPAWNING)
    noise = str(tmp_path / "train.jsonl")
    overrides = settings(
        tmp_path, training__epochs=1, data__num_workers=1, data__noise=[noise], training__ema=0.9
    )
    words = [sys.executable, str(script), *command(tmp_path / "run", overrides)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_a_run_goes_on_without_tensorboard(tmp_path: Path) -> None:
    overrides = settings(tmp_path, training__epochs=1)
    words = [sys.executable, "-c", WITHOUT_TENSORBOARD, str(QUICKSTART), str(tmp_path / "run")]
    found = subprocess.run(
        [*words, *overrides], capture_output=True, text=True, timeout=100, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("no TensorBoard (pip install tensorboard)") == 1
    assert not (tmp_path / "run" / "tensorboard").exists()
