"""The rules of the house: imports between parts, forbidden names, files that must load."""

import ast
import runpy
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
VAGUE_NAMES = {"utils", "util", "common", "helpers", "base", "manager", "misc"}
FLOORS = (
    "errors compilation cores",
    "installation settings files text graph",
    "audio manifest",
    "shards ngram",
    "ctc",
    "model transcripts",
    "recognition client",
    "evaluation",
    "tuning corpora serving training importing",
    "synthesis",
    "cli",
)
"""The parts of ds2, lowest first: a part imports only parts of lower floors."""
MOST_MODULES = 15  # in a folder
LONGEST_FUNCTION = 60  # lines


@cache
def tree_of(path: Path) -> ast.Module:
    """The program of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path, *, lazy: bool = True) -> frozenset[str]:
    """Every dotted name the file imports; with lazy=False only those at the module's top."""
    return frozenset(_imports_of(path, lazy))


def _imports_of(path: Path, lazy: bool) -> Iterator[str]:
    tree = tree_of(path)
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def is_training(module: str) -> bool:
    return module == "ds2.training" or module.startswith("ds2.training.")


def test_nothing_outside_training_imports_torch() -> None:
    for module, path in MODULES.items():
        if not is_training(module):
            assert "torch" not in {name.split(".")[0] for name in imports_of(path)}, module


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "examples", "recipes", "samples"])
def test_programs_beside_the_package_import_what_is_there(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ds2"):
                for alias in node.names:
                    where = f"{path}: {node.module} has no {alias.name}"
                    assert has_name(str(node.module), alias.name), where


def has_name(module: str, name: str) -> bool:
    """Whether a module of ds2 has a name at its top level, or is a package with such a module."""
    if f"{module}.{name}" in MODULES:
        return True
    return name in names_in(module)


@cache
def names_in(module: str) -> frozenset[str]:
    """All names that the statements of a module define or import."""
    return frozenset().union(*map(names_of, ast.walk(tree_of(MODULES[module]))))


def names_of(node: ast.AST) -> set[str]:
    """The names that a statement defines or imports."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return set()


def test_only_commands_import_training_and_only_when_they_run() -> None:
    for module, path in MODULES.items():
        if is_training(module):
            continue
        names = imports_of(path, lazy=module.split(".")[1:2] != ["cli"])
        assert not {name for name in names if is_training(name)}, module


def test_nothing_imports_the_command_line() -> None:
    for module, path in MODULES.items():
        if not module.startswith(("ds2.cli", "ds2.__main__")):
            assert not [name for name in imports_of(path) if name.startswith("ds2.cli")], module


@cache
def graph_of_imports() -> dict[str, set[str]]:
    """The modules of ds2 that each module imports."""
    return {
        module: {name for name in imports_of(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }


def part_of(module: str) -> str:
    """The part that a module is in: "ctc" for ds2.ctc.search.frames; "" for the face."""
    return "" if module in ("ds2", "ds2.__main__") else module.split(".")[1]


def test_a_part_imports_only_parts_below_it() -> None:
    floor_of = {part: floor for floor, parts in enumerate(FLOORS) for part in parts.split()}
    assert {part_of(module) for module in MODULES} - {""} == set(floor_of)
    for module, imported in graph_of_imports().items():
        part = part_of(module)
        for name in imported if part else ():
            is_below = not part_of(name) or floor_of[part_of(name)] < floor_of[part]
            assert part_of(name) == part or is_below, f"{module} imports {name}"


def test_the_engine_knows_no_protocol_and_no_protocol_knows_another() -> None:
    """Within serving/: engine, then access and wire, then protocols, each apart from the others."""
    for module, imported in graph_of_imports().items():
        for name in (name for name in imported if name.startswith("ds2.serving.")):
            if module.startswith("ds2.serving.engine."):
                assert name.startswith("ds2.serving.engine.") or name == "ds2.serving.config", (
                    module
                )
            if module.startswith(("ds2.serving.access.", "ds2.serving.wire.")):
                assert not name.startswith("ds2.serving.protocols."), module
            if module.startswith("ds2.serving.protocols."):
                own = module.split(".")[3]
                assert not name.startswith("ds2.serving.protocols.") or name.split(".")[3] == own


def test_no_folder_holds_too_many_modules() -> None:
    for folder in {path.parent for path in MODULES.values()}:
        names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(names) <= MOST_MODULES, folder


def test_no_function_is_too_long() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                num_lines = node.end_lineno - node.lineno + 1
                assert num_lines <= LONGEST_FUNCTION, f"{module}.{node.name}: {num_lines} lines"


def test_imports_run_in_no_circle() -> None:
    graph = graph_of_imports()
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for name in graph[module]:
                visit(name, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_one_file_knows_each_foreign_thing() -> None:
    owners = {
        "av": {"ds2.audio.ffmpeg", "ds2.audio.writing"},
        "fsspec": {"ds2.shards.storage"},
        "google": {"ds2.model.messages"},  # protobuf
        "lhotse": {"ds2.corpora.public.lhotse_recipes"},
        "numba": {
            "ds2.compilation",
            "ds2.compilation.shortcuts",
            "ds2.compilation.structures",
        },
        "onnx": {"ds2.graph.builder", "ds2.graph.weights"},
        "onnxruntime": {"ds2.model.inference"},
        "prometheus_client": {"ds2.serving.engine.metrics", "ds2.serving.ray.board"},
        "pydantic": {"ds2.settings"},
        "rapidfuzz": {"ds2.evaluation.metrics"},
        "ray": {"ds2.corpora.work.on_ray", "ds2.serving.ray.deployment"},
        "soundfile": {"ds2.audio.decoders", "ds2.audio.writing"},
        "soxr": {"ds2.audio.resampling"},
        "tomli_w": {"ds2.training.config"},
        "uvicorn": {"ds2.serving.server"},
        "websockets": {"ds2.client"},
        "yaml": {"ds2.importing.files"},
    }
    for module, path in MODULES.items():
        for name in {name.split(".")[0] for name in imports_of(path)} & set(owners):
            assert module in owners[name], f"{module} imports {name}"


def test_only_serving_knows_the_web() -> None:
    for module, path in MODULES.items():
        if not module.startswith("ds2.serving"):
            assert "starlette" not in {name.split(".")[0] for name in imports_of(path)}, module


def test_only_commands_start_a_server() -> None:
    for module, path in MODULES.items():
        if not module.startswith(("ds2.serving", "ds2.cli")):
            names = imports_of(path)
            assert not {name for name in names if name.startswith("ds2.serving")}, module


def test_every_module_has_a_name_that_says_something() -> None:
    for module in MODULES:
        assert not VAGUE_NAMES & set(module.split(".")), module


def test_every_module_begins_with_its_purpose() -> None:
    for module, path in MODULES.items():
        assert ast.get_docstring(tree_of(path)), module


def test_the_wheel_holds_the_models_that_come_with_ds2() -> None:
    from ds2.model.bundle import NETWORK
    from ds2.model.places import SHIPPED

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = wheel["targets"]["wheel"]["force-include"]
    files = [path for name in SHIPPED for path in (ROOT / "models" / name).iterdir()]
    names = {f"{path.parent.name}/{path.name}" for path in files if path.name != NETWORK}
    assert included == {f"models/{name}": f"ds2/shipped_models/{name}" for name in names}
    assert "models" in wheel["targets"]["sdist"]["include"]
    assert wheel["targets"]["sdist"]["exclude"] == [f"models/*/{NETWORK}"]


def test_the_shipped_models_have_the_networks_of_their_graphs() -> None:
    from ds2.model.bundle import load_bundle, verify_network
    from ds2.model.places import SHIPPED

    for name in SHIPPED:
        bundle = load_bundle(ROOT / "models" / name)
        assert bundle.network_path, name
        verify_network(bundle)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/**/*.toml")), ids=str)
def test_every_recipe_loads(path: Path) -> None:
    assert tomllib.loads(path.read_text())
    pytest.importorskip("tomli_w")  # of the extra `train`
    from ds2.training.config import load_config

    assert load_config(path)


@pytest.mark.parametrize("name", ["ablations", "optimisers"])
def test_every_variant_of_a_recipe_loads_from_any_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tomli_w")
    from ds2.training.config import load_config

    monkeypatch.chdir(tmp_path)
    recipe = ROOT / "recipes" / name
    for variant in runpy.run_path(str(recipe / "run.py"))["VARIANTS"]:
        config = load_config(recipe / "base.toml", variant.settings)
        for path in config.data.train:
            assert Path(path).resolve().is_relative_to((ROOT / "data").resolve()), variant.name
