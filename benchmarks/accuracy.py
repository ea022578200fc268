"""Error rates, time and memory of our models beside recognisers that people use today.

    python benchmarks/accuracy.py data/en-test data/zh-test -m models/en -m models/zh \
        --peer vosk.en=PY:DIR --peer vosk.zh=PY:DIR --peer whisper=PY:DIR \
        --peer moonshine.en=PY:DIR --peer pocketsphinx.en=PY: --json out/accuracy.json

Each peer runs in its own Python (PY), which has its package, with the model in DIR. Ours needs
none of them. All systems get the same 16 kHz WAV files, decoded once. All texts and references go
through the same normalisation (see docs/explanation/results.md). The program keeps the answers by
model and test set, so that it can continue after a stop. Then all systems recognise some utterances
of each set (--timed) again, alternately, for the real-time factor: CPU seconds per second of audio.
Only one process computes at a time, with one thread. Linux only.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from accuracy_runs import Answers, Running, System, TestSet, running, test_set
from accuracy_systems import SYSTEMS
from accuracy_table import Result, Timing, as_json, evaluated, load_told, markdown
from ds2.cli.screen.terminal import positive, tracked
from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest import Utterance
from ds2.model.bundle import find_bundle, load_bundle


def main() -> int:
    """Recognise, compare and time; print a table."""
    args = _arguments()
    try:
        with tempfile.TemporaryDirectory() as wav_dir:
            _run(args, Path(wav_dir))
    except InputError as error:
        print(f"accuracy.py: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("-m", "--model", action="append", default=[], help="a bundle of ours")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=_peer,
        metavar="NAME[.LANGUAGE]=PYTHON:MODEL_DIR",
        help="vosk, whisper, whisper-onnx, moonshine or pocketsphinx (with its own model)",
    )
    parser.add_argument(
        "--sample",
        action="append",
        default=[],
        type=_sample,
        metavar="SET=N",
        help="use N random utterances of the set in the directory SET (see --seed)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timed", type=int, default=20, help="utterances to time in each set (20)")
    parser.add_argument(
        "--again",
        nargs="*",
        metavar="SYSTEM",
        help="ignore the kept answers of these systems (ds2, ds2-greedy, vosk...), or of all",
    )
    parser.add_argument("--check", action="store_true", help="use 2 utterances each, keep nothing")
    parser.add_argument("--kept", type=Path, default=Path("out/accuracy"), help="folder of answers")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def _peer(option: str) -> System:
    """The system that vosk.en=PYTHON:MODEL_DIR describes."""
    name, _, where = option.partition("=")
    kind, _, language = name.partition(".")
    python, colon, model_dir = where.partition(":")
    if kind not in SYSTEMS or language not in ("", "en", "zh") or not colon:
        raise argparse.ArgumentTypeError(
            f"{option}: must be NAME[.LANGUAGE]=PYTHON:MODEL_DIR, the name one of "
            f"{', '.join(SYSTEMS)}, the language en or zh"
        )
    if model_dir and not Path(model_dir).is_dir():
        raise argparse.ArgumentTypeError(f"{model_dir}: no such directory")
    return System(kind, python, model_dir, language)


def _sample(option: str) -> tuple[str, int]:
    """The name and the number in en-test=500."""
    name, _, size = option.partition("=")
    return name, positive(size)


def _run(args: argparse.Namespace, wav_dir: Path) -> None:
    systems = [*_ours(args.model), *args.peer]
    results: list[Result] = []
    for path in args.manifests:
        test = _drawn(test_set(path, wav_dir), args)
        hearing = [system for system in systems if system.hears(test.language)]
        if not hearing:
            raise InputError(f"{path}: nothing to compare: name a model for it with -m or --peer")
        kept = wav_dir if args.check else args.kept
        of_set = [_judged(system, test, kept, args) for system in hearing]
        results += _timed(of_set, test, args.timed) if args.timed else of_set
    print(markdown(results))
    if args.timed:
        print(f"\n{load_told(results)}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(args.json) as file:
            json.dump([as_json(each) for each in results], file, indent=1)


def _ours(models: Sequence[str]) -> list[System]:
    """Our systems: each bundle greedy, and with its language model if it has one."""
    systems = []
    for model in models:
        bundle = load_bundle(find_bundle(model))
        path = str(bundle.path)
        systems.append(System("ds2-greedy", model_dir=path, language=bundle.language))
        if bundle.lm_path:
            systems.append(System("ds2", model_dir=path, language=bundle.language))
    return systems


def _drawn(test: TestSet, args: argparse.Namespace) -> TestSet:
    """The chosen utterances: all of a set, or a sample, in the manifest's order."""
    size = 2 if args.check else dict(args.sample).get(test.name)
    if size is None or size >= len(test.utterances):
        return test
    drawn = _shuffled(test.utterances, args.seed)[:size]
    return replace(test, utterances=sorted(drawn, key=lambda utterance: utterance.line))


def _shuffled(utterances: Sequence[Utterance], seed: int) -> list[Utterance]:
    """The utterances in the seed's order, so that a smaller sample is part of a larger one."""
    shuffled = list(utterances)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def _judged(system: System, test: TestSet, kept: Path, args: argparse.Namespace) -> Result:
    """The answers of a system for a set: kept ones, and new ones."""
    answers = Answers(kept, system, test)
    if args.again is not None and (not args.again or system.kind in args.again):
        answers.forget()
    in_order = _shuffled(test.utterances, args.seed)  # a stopped run leaves a random sample
    missing = [each for each in in_order if each.line not in answers.by_line]
    if missing or answers.about is None:
        with running(system, test.language) as process:
            answers.keep_about(process.about)
            for utterance in tracked(missing, f"{system.kind}, {test.name}", len(missing)):
                answers.keep(utterance.line, process.recognise(test.wav(utterance)))
    assert answers.about
    given = [answers.by_line[each.line] for each in test.utterances]
    evaluation = evaluated(test.utterances, answers.by_line, test.language)
    return Result(
        system,
        answers.about,
        test.name,
        test.language,
        evaluation,
        peak_bytes=max(answer.peak_bytes for answer in given),
        accuracy_pass_rtf=sum(answer.cpu_s for answer in given) / evaluation.duration_s,
    )


def _timed(results: Sequence[Result], test: TestSet, num_utterances: int) -> list[Result]:
    """The results with times: all systems alternate on the same recordings."""
    drawn = _shuffled(test.utterances, seed=0)[:num_utterances]
    with ExitStack() as stack:
        processes: list[Running] = [
            stack.enter_context(running(result.system, test.language)) for result in results
        ]
        answers = [
            [process.recognise(test.wav(utterance)) for process in processes]
            for utterance in tracked(drawn, f"timing, {test.name}", len(drawn))
        ]
    audio_s = sum(utterance.duration_s or 0.0 for utterance in drawn)
    return [
        replace(
            result,
            timing=Timing(
                cpu_s=sum(row[index].cpu_s for row in answers),
                audio_s=audio_s,
                load=sum(row[index].load for row in answers) / len(answers),
            ),
        )
        for index, result in enumerate(results)
    ]


if __name__ == "__main__":
    sys.exit(main())
