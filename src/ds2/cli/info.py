"""`ds2 info`: what a bundle is."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "info", help="what a model is", description="Show the facts of a bundle."
    )
    parser.add_argument("model", metavar="MODEL", help="a bundle's directory, or en, zh")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    from ds2.bundle import find_bundle, load_bundle

    bundle = load_bundle(find_bundle(args.model))
    features, model = bundle.features, bundle.model
    table = Table(show_header=False, title=str(bundle.path), title_justify="left")
    rows = {
        "language": bundle.language,
        "alphabet": f"{len(bundle.alphabet)} labels with the blank ({bundle.alphabet.kind})",
        "network": model.description,
        "parameters": f"{model.num_parameters / 1e6:.2f} M, stored as {model.weights}",
        "size": f"{sum(p.stat().st_size for p in bundle.path.iterdir()) / 1e6:.1f} MB",
        "features": f"{features.num_bins} bins, {features.window_ms:g} ms every "
        f"{features.stride_ms:g} ms, power normalised {_normalised(features.normalisation)}",
        "output": f"every {1000 * bundle.output_stride_s:g} ms",
        "latency": _latency(bundle.latency_s),
        "licence": bundle.licence,
    }
    for name, value in [*rows.items(), *_flat("training", bundle.training)]:
        table.add_row(name, value)
    Console().print(table)


def _normalised(kind: str) -> str:
    return "causally" if kind == "causal" else "by clip"


def _latency(latency_s: float | None) -> str:
    if latency_s is None:
        return "the whole utterance: this model does not stream"
    return f"{1000 * latency_s:.0f} ms of audio after a moment, and a chunk (200 ms)"


def _flat(name: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.{key}", value)
        else:
            yield f"{name}.{key}", str(value)
