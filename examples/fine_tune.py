"""Fine-tune a model for your own speakers, and print the gain.

    pip install '.[train]'
    python examples/fine_tune.py MANIFEST OUTPUT [--model en] [--hours 2]

MANIFEST lists your recordings and their texts (`ds2 corpus import` makes one). The new model is
OUTPUT/model. Training leaves out the sentences that judge the model.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

SETTINGS = """\
[data]
train = ["train.jsonl"]
dev = ["dev.jsonl"]
skip_bad = true
batch_seconds = 32.0

[network]
preset = "{preset}"

[training]
init_from = "{model}"
schedule = "constant"
learning_rate = 3e-4
layer_decay = 0.8
warmup_steps = 20
sortagrad = false
hours = {hours}
decay_hours = {decay_hours}
"""


def ds2(*arguments: str | Path) -> None:
    """Run one command of ds2; stop the program if it fails."""
    subprocess.run([sys.executable, "-m", "ds2", *map(str, arguments)], check=True)


def character_error_rate(manifest: Path, model: str | Path, report: Path) -> float:
    """The character error rate of the network alone, in percent."""
    ds2("--quiet", "evaluate", manifest, "-m", model, "--greedy", "--json", report)
    return 100 * json.loads(report.read_text())["cer"]["rate"]


def main() -> None:
    """Split, train, export, and evaluate before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="en", help="to begin with: a name or a directory")
    parser.add_argument("--preset", default="small", help="the network of that model")
    parser.add_argument("--hours", type=float, default=2.0, help="of audio to hear")
    args = parser.parse_args()

    output = args.output
    output.mkdir(parents=True, exist_ok=True)
    ds2("corpus", "split", args.manifest, "--by", "text", "--dev", "20%", "-o", output)
    settings = output / "settings.toml"
    filled = {"hours": args.hours, "decay_hours": args.hours / 2}
    settings.write_text(SETTINGS.format(preset=args.preset, model=find(args.model), **filled))
    ds2("train", settings, "-o", output / "run")
    ds2("export", output / "run", "-o", output / "model", "--weights", "int8")
    before = character_error_rate(output / "dev.jsonl", args.model, output / "before.json")
    after = character_error_rate(output / "dev.jsonl", output / "model", output / "after.json")
    print(f"character error rate: {before:.1f}% before, {after:.1f}% after")


def find(model: str) -> Path:
    """The directory of a model, found by its name with `ds2 models`."""
    from ds2.model.bundle import find_bundle

    return Path(find_bundle(model)).resolve()


if __name__ == "__main__":
    main()
