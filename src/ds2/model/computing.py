"""The choice of arithmetic and device for a network on this machine."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, get_args

from ds2.errors import InputError

Arithmetic = Literal["auto", "float", "int8"]
"""The arithmetic that a user asks for; "auto" leaves the choice to ds2."""
ARITHMETICS: tuple[Arithmetic, ...] = get_args(Arithmetic)
Device = Literal["auto", "cpu", "cuda"]
"""The device that a user asks for; "auto" is a graphics card if onnxruntime can use one."""
DEVICES: tuple[Device, ...] = get_args(Device)
Place = Literal["cpu", "cuda"]
"""The device on which a network runs: processor cores or a graphics card."""
INT8_INSTRUCTIONS = ("avx512_vnni", "avx_vnni")
"""Linux's names for the instructions with which x86 processors multiply int8 numbers."""
PROCESSOR_FACTS = Path("/proc/cpuinfo")


class NetworkFacts(Protocol):
    """The facts about a network on which the choice depends. `ModelFacts` of a bundle has them."""

    @property
    def streaming(self) -> bool: ...

    @property
    def weights(self) -> str: ...

    @property
    def arithmetic(self) -> Arithmetic: ...


@dataclass(frozen=True)
class ChosenArithmetic:
    """The arithmetic of a loaded model, and a reason for people."""

    name: Literal["float", "int8"]
    reason: str


def choose_arithmetic(
    asked: Arithmetic, facts: NetworkFacts, place: Place = "cpu"
) -> ChosenArithmetic:
    """Choose the arithmetic of a model with these facts, on processor cores or a graphics card.

    On a graphics card the arithmetic is float. Elsewhere the user's choice comes first, and the
    choice at export comes next. If there is no choice, ds2 takes int8 where it is faster and no
    less exact. That is a streaming model whose weights are stored as int8, on a processor that has
    int8 instructions.
    Raises InputError if the user asks for int8 and the model or the device does not allow it.
    """
    if asked not in ARITHMETICS:
        known = ", ".join(ARITHMETICS)
        raise InputError(f"arithmetic {asked}: no such arithmetic: choose one of {known}")
    if asked == "int8" and place == "cuda":
        raise InputError("arithmetic int8: is for processors: leave it out, or choose device cpu")
    if asked == "int8" and not facts.streaming:
        raise InputError("arithmetic int8: is for streaming models: leave it out for this model")
    if place == "cuda":
        return ChosenArithmetic("float", "on a graphics card")
    if asked != "auto":
        return ChosenArithmetic(asked, "as asked")
    if facts.arithmetic != "auto":
        return ChosenArithmetic(facts.arithmetic, "chosen at export")
    if not facts.streaming:
        return ChosenArithmetic("float", "the model needs whole utterances")
    if facts.weights != "int8":
        return ChosenArithmetic("float", f"the weights are stored as {facts.weights}")
    if instruction := int8_instruction():
        return ChosenArithmetic("int8", f"this processor has {instruction}")
    return ChosenArithmetic("float", "ds2 found no int8 instructions in this processor")


def int8_instruction() -> str | None:
    """The name of this processor's instructions for int8 products. None if ds2 finds none."""
    return _instruction_in(_processor_facts())


@cache
def _processor_facts() -> str:
    """Linux's description of the first processor core; "" on other systems."""
    try:
        with PROCESSOR_FACTS.open(encoding="utf-8", errors="replace") as file:
            return file.read(1 << 14).partition("\n\n")[0]
    except OSError:
        return ""


def _instruction_in(processor_facts: str) -> str | None:
    for line in processor_facts.splitlines():
        if line.startswith("flags"):
            flags = line.partition(":")[2].split()
            return next((name for name in INT8_INSTRUCTIONS if name in flags), None)
    return None
