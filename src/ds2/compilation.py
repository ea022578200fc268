"""Compiling loops to machine code: the only file that knows numba.

Compiled code is kept on disk, beside the source or in the user's cache directory, so it is compiled
once for each version of the source. Where nothing can be written, it is compiled in memory.
"""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import IRLegalization
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

_WITHOUT_COUNTS: dict[str, Any] = {"_nrt": False, "no_cfunc_wrapper": True}
_SUBJECTS = {
    "alignment": "the alignment",
    "network": "the network's loops",
    "ngram": "the language model's look-ups",
}

logger = logging.getLogger(__name__)


def compiled(function: F) -> F:
    """A function that Python calls; it lets go of Python's lock while it runs.

    It may take arrays and write in them, but make none: what counts the references of arrays is
    left out, for it would cost more than the rest.
    """
    return _compiled(function)


def over_arrays(function: F) -> F:
    """The same for loops over arrays, in which a division by zero is infinite, as in numpy.

    Without an error to raise, the processor can work on many items at once.
    """
    return _compiled(function, error_model="numpy")


def _compiled(function: F, **more: Any) -> F:
    options = {"nogil": True, "pipeline_class": _Entrance, **_WITHOUT_COUNTS, **more}
    try:
        return cast(F, _stamped(njit(cache=True, **options)(function)))
    except RuntimeError:  # numba finds no directory that it can write to
        _tell_of_no_directory()
        return cast(F, njit(**options)(function))


def inlined(function: F) -> F:
    """The same for compiled code alone: it goes into what calls it."""
    options = {"no_cpython_wrapper": True, "pipeline_class": _Inside, **_WITHOUT_COUNTS}
    return cast(F, njit(nogil=True, **options)(function))


@cache
def _tell_of_no_directory() -> None:
    logger.warning(
        "compiled code cannot be kept, so every start compiles: "
        "set NUMBA_CACHE_DIR to a directory that can be written to"
    )


@cache
def _tell_of_compiling(subject: str) -> None:
    logger.info("compiling %s, once", subject)


def _stamped(dispatcher: Any) -> Any:
    """The function, compiled anew whenever one that it calls may have changed.

    What numba keeps on disk holds the code of the functions that it calls, too, but numba looks at
    the date of the one source file alone: after an update of another it would run the old code. Its
    stamp of the source has no public name, so a numba that has none goes without.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, stamp_of(Path(__file__).parent))
    return dispatcher


@cache
def stamp_of(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of every file of the package that is compiled.

    directory: the package's.
    """
    files = [*directory.glob("ngram/**/*.py"), *directory.glob("ctc/**/*.py")]
    stats = [(path, path.stat()) for path in sorted([*files, directory / "compilation.py"])]
    return tuple(
        (str(path.relative_to(directory)), stat.st_mtime_ns, stat.st_size) for path, stat in stats
    )


class _InsideLibrary(JITCodeLibrary):
    """The code of a function that goes into what calls it.

    numba would optimise and emit it by itself, and once more with each of its callers. So only the
    functions that Python calls are optimised, with all that is in them.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        pass

    def finalize(self) -> None:
        """Nothing else is linked in: who calls this function links what it calls, too."""
        self._finalized = True

    @property
    def linked(self) -> list[Any]:
        """The code of what this function calls."""
        return list(self._linking_libraries)

    def get_pointer_to_function(self, _name: str) -> int:
        """None, for there is no machine code; numba says so by 0."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """For the one who would tell the machine code where its globals are."""
        return SimpleNamespace(set_env=lambda *_: None)


class _EntranceLibrary(JITCodeLibrary):
    """The code of a function that Python calls, and of all that it calls, directly or not."""

    def finalize(self) -> None:
        """Link, optimise and emit."""
        for library in self._linking_libraries:  # grows while it is gone through
            if isinstance(library, _InsideLibrary):
                known = self._linking_libraries
                known += [other for other in library.linked if other not in known]
        super().finalize()


class _Begin(LoweringPass):
    """Gives a function its library, before numba would."""

    _name = "begin"
    library: Any

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Nothing of the function changes, so False."""
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _BeginInside(_Begin):
    """For what compiled code calls."""

    library = _InsideLibrary


@register_pass(mutates_CFG=False, analysis_only=True)
class _BeginEntrance(_Begin):
    """For what Python calls."""

    library = _EntranceLibrary

    def run_pass(self, state: Any) -> bool:
        """Its code is to be kept on disk."""
        super().run_pass(state)
        state.library.enable_object_caching()
        return False


_NEEDLESS = (
    "WithLifting",
    "InlineClosureLikes",
    "RewriteDynamicRaises",
    "MakeFunctionToJitFunction",
    "InlineInlinables",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "InlineOverloads",
    "RewriteSemanticConstants",
    "DeadBranchPrune",
    "NopythonRewrites",
)
"""Steps of numba's for what our loops do not hold: closures, `with`, errors, whole arrays."""


def _steps(state: Any, begin: type[_Begin]) -> Any:
    """numba's steps, less those that we do not need, and with our libraries."""
    steps = DefaultPassBuilder.define_nopython_pipeline(state)
    steps.passes = [step for step in steps.passes if step[0].__name__ not in _NEEDLESS]
    steps.add_pass_after(begin, IRLegalization)
    steps.finalize()
    return steps


class _Entrance(CompilerBase):
    """Compiles what Python calls."""

    def define_pipelines(self) -> list[Any]:
        """numba's steps. It asks when there is no code on disk, so here we tell of it."""
        folder = self.state.func_id.func.__module__.split(".")[-2]
        _tell_of_compiling(_SUBJECTS.get(folder, "the search"))
        return [_steps(self.state, _BeginEntrance)]


class _Inside(CompilerBase):
    """Compiles what compiled code calls."""

    def define_pipelines(self) -> list[Any]:
        """numba's steps."""
        return [_steps(self.state, _BeginInside)]


class _Field(NamedTuple):
    """A field of a structure."""

    place: int  # among the structure's words of eight bytes
    kind: Any  # numba's type
    dtype: Any  # of an array


def structure(cls: C) -> C:
    """A frozen dataclass whose arrays and numbers compiled code takes together, by one address.

    Given one by one, an argument for each array and each of its lengths, they take most of the
    time that compiling takes. Fields are arrays in C order, other structures, int, float and bool.
    An array has one axis, or as many as `Annotated` says, which also gives the dtype of records:
    `Annotated[NDArray[np.void], ENTRY, 2]`. Of an array of records without axes compiled code sees
    the one record. Compiled code reads fields and writes in arrays.

    To be written under `@dataclass(frozen=True)`; making one raises TypeError for an array of
    another dtype, number of axes or order.
    """
    kind = _Structure(cls)
    setattr(cls, "__post_init__", _note_places)  # noqa: B010 (a type knows no such attribute)
    setattr(cls, "_numba_type_", kind)  # noqa: B010
    typeof_impl.register(cls, lambda *_: kind)
    return cls


class _Structure(types.Opaque):
    """numba's type of a structure: a pointer."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        super().__init__(f"{cls.__module__}.{cls.__qualname__}")


register_model(_Structure)(models.OpaqueModel)


@cache
def _fields_of(cls: type) -> dict[str, _Field]:
    fields: dict[str, _Field] = {}
    place = 0
    for name, hint in get_type_hints(cls, include_extras=True).items():
        kind, dtype = _kind_of(hint)
        fields[name] = _Field(place, kind, dtype)
        place += 1 + (kind.ndim if isinstance(kind, types.Array) else 0)
    return fields


def _kind_of(hint: Any) -> tuple[Any, Any]:
    """numba's type of what an annotation says, and the dtype of an array."""
    numbers = {int: types.int64, float: types.float64, bool: types.boolean}
    if hint in numbers:
        return numbers[hint], None
    if hasattr(hint, "_numba_type_"):
        return hint._numba_type_, None
    told = getattr(hint, "__metadata__", ())
    array = get_args(hint)[0] if told else hint
    dtype = next((value for value in told if isinstance(value, np.dtype)), None)
    if dtype is None:
        origin, parts = get_origin(array), get_args(array)
        if origin is not NDArray and origin is not np.ndarray:
            raise TypeError(f"compiled code cannot take {hint}")
        # NDArray is a type alias with one parameter from numpy 2.5 on, and stands for more before.
        dtype = np.dtype(parts[0] if origin is NDArray else get_args(parts[1])[0])
    num_axes = next((value for value in told if isinstance(value, int)), 1)
    record = from_dtype(dtype)
    return types.Array(record, num_axes, "C") if num_axes else record, dtype


def _note_places(self: Any) -> None:
    """Note where everything is, in words of eight bytes."""
    words: list[Any] = []
    for name, (_, kind, dtype) in _fields_of(self.__class__).items():
        value = getattr(self, name)
        if dtype is not None:
            num_axes = kind.ndim if isinstance(kind, types.Array) else 0
            flags = value.flags
            in_order = flags.c_contiguous and flags.aligned
            if value.dtype != dtype or value.ndim != num_axes or not in_order:
                told = f"{value.dtype}, {value.ndim} axes" + ("" if in_order else ", not in order")
                raise TypeError(f"{name}: must be {dtype}, {num_axes} axes, not {told}")
            words += [value.ctypes.data, *value.shape]
        elif isinstance(kind, _Structure):
            words.append(value.address)
        else:
            words.append(np.float64(value).view(np.int64) if kind == types.float64 else int(value))
    packed = np.array(words, np.int64)
    object.__setattr__(self, "_words", packed)  # kept as long as the structure
    object.__setattr__(self, "address", packed.ctypes.data)


@unbox(_Structure)
def _unbox(_kind: Any, value: Any, c: Any) -> Any:
    address = c.pyapi.object_getattr_string(value, "address")
    pointer = c.pyapi.long_as_voidptr(address)
    c.pyapi.decref(address)
    return NativeValue(pointer)


@infer_getattr
class _Fields(AttributeTemplate):
    """The types of a structure's fields."""

    key = _Structure

    def generic_resolve(self, kind: Any, name: str) -> Any:  # type: ignore[override]
        """None if there is no such field."""
        field = _fields_of(kind.cls).get(name)
        return field and field.kind


@lower_getattr_generic(_Structure)
def _load(context: Any, builder: Any, of: Any, pointer: Any, name: str) -> Any:
    """Read a field. That it never changes lets the optimiser read it once."""
    place, kind, _ = _fields_of(of.cls)[name]

    def read(index: int, value_type: Any) -> Any:
        words = builder.bitcast(pointer, value_type.as_pointer())
        value = builder.load(builder.gep(words, [cgutils.intp_t(index)]))
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    if isinstance(kind, types.Array):
        item = context.get_data_type(kind.dtype)
        shape = [read(place + 1 + axis, cgutils.intp_t) for axis in range(kind.ndim)]
        strides = [cgutils.intp_t(context.get_abi_sizeof(item))]
        for length in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        array = make_array(kind)(context, builder)
        data = read(place, item.as_pointer())
        populate_array(array, data, shape, strides, context.get_abi_sizeof(item), None)
        return array._getvalue()
    if isinstance(kind, _Structure):
        return read(place, cgutils.voidptr_t)
    if kind == types.boolean:
        return builder.icmp_signed("!=", read(place, cgutils.intp_t), cgutils.intp_t(0))
    return read(place, context.get_value_type(kind))
