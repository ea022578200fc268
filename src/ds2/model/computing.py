"""What a network computes with on this machine: which arithmetic, and on which device."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, get_args

from ds2.errors import InputError

Arithmetic = Literal["auto", "float", "int8"]
"""What a user asks for; "auto" leaves the choice to ds2."""
ARITHMETICS: tuple[Arithmetic, ...] = get_args(Arithmetic)
Device = Literal["auto", "cpu", "cuda"]
"""What a user asks for; "auto" is a graphics card where onnxruntime can use one."""
DEVICES: tuple[Device, ...] = get_args(Device)
Place = Literal["cpu", "cuda"]
"""Where a network runs: on processor cores or on a graphics card."""
INT8_INSTRUCTIONS = ("avx512_vnni", "avx_vnni")
"""Names that Linux gives to instructions of x86 processors that multiply int8 numbers."""
PROCESSOR_FACTS = Path("/proc/cpuinfo")


class NetworkFacts(Protocol):
    """What the choice needs to know of a network; `ModelFacts` of a bundle has it."""

    @property
    def streaming(self) -> bool: ...

    @property
    def weights(self) -> str: ...

    @property
    def arithmetic(self) -> Arithmetic: ...


@dataclass(frozen=True)
class ChosenArithmetic:
    """The arithmetic of a model that is loaded, and why, for people."""

    name: Literal["float", "int8"]
    reason: str


def choose_arithmetic(
    asked: Arithmetic, facts: NetworkFacts, place: Place = "cpu"
) -> ChosenArithmetic:
    """The arithmetic of a model with these facts on a processor or graphics card.

    A choice of the user comes first, then one that was made at export. Otherwise int8 is chosen
    where it is faster and no less exact: for a streaming model whose weights are stored as int8,
    on a processor with instructions for it.
    Raises InputError for int8 where it cannot be.
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
    return ChosenArithmetic("float", "this processor is not known to multiply int8 faster")


def int8_instruction() -> str | None:
    """The name of this processor's instructions for int8 products; None where none is known."""
    return _instruction_in(_processor_facts())


@cache
def _processor_facts() -> str:
    """What Linux says of the first processor core; "" on other systems."""
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
