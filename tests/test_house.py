"""The rules of the house: who may import whom, which names are not used, what must load."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
VAGUE_NAMES = {"utils", "util", "common", "helpers", "base", "manager", "misc"}


def imports_of(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Every dotted name the file imports; with lazy=False only those at the module's top."""
    tree = ast.parse(path.read_text())
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


def test_only_commands_import_training_and_only_when_they_run() -> None:
    for module, path in MODULES.items():
        if is_training(module):
            continue
        names = set(imports_of(path, lazy=module.split(".")[1:2] != ["cli"]))
        assert not {name for name in names if is_training(name)}, module


def test_nothing_imports_the_command_line() -> None:
    for module, path in MODULES.items():
        if not module.startswith(("ds2.cli", "ds2.__main__")):
            assert not [name for name in imports_of(path) if name.startswith("ds2.cli")], module


def test_imports_run_in_no_circle() -> None:
    graph = {
        module: {name for name in imports_of(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
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
        "onnxruntime": {"ds2.acoustic", "ds2.voice"},
        "soundfile": {"ds2.audio", "ds2.encoding"},
        "av": {"ds2.audio", "ds2.encoding"},
        "fsspec": {"ds2.corpora.storage"},
        "pydantic": {"ds2.settings"},
        "prometheus_client": {"ds2.serving.metrics"},
        "uvicorn": {"ds2.serving.server"},
        "websockets": {"ds2.client"},
        "lhotse": {"ds2.corpora.public.lhotse_recipes"},
        "ray": {"ds2.corpora.on_ray", "ds2.serving.on_ray"},
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
        assert ast.get_docstring(ast.parse(path.read_text())), module


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/**/*.toml")), ids=str)
def test_every_recipe_loads(path: Path) -> None:
    from ds2.training.config import load_config

    assert tomllib.loads(path.read_text())
    assert load_config(path)
