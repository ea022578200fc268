"""Structures: arrays and numbers that compiled code takes together, as one address."""

from functools import cache
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numba import types
from numba.core import cgutils
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

C = TypeVar("C", bound=type)


class _Field(NamedTuple):
    """A field of a structure."""

    place: int  # index among the structure's words of eight bytes
    kind: Any  # numba's type
    dtype: Any  # the dtype of an array


def structure(cls: C) -> C:
    """A frozen dataclass whose arrays and numbers compiled code takes together, as one address.

    As single arguments (one for each array and each of its lengths) they would take most of the
    time of compiling. Fields are arrays in C order, other structures, int, float and bool.
    An array has one axis, or the number of axes in `Annotated`. `Annotated` also gives the dtype of
    records: `Annotated[NDArray[np.void], ENTRY, 2]`. Compiled code takes an array of records with
    no axes as a single record. It can read fields, and it can write into arrays.

    Write it under `@dataclass(frozen=True)`. A new object raises TypeError for an array with
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
    """numba's type for an annotation, and the dtype if it is an array."""
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
        # From numpy 2.5 on, NDArray is a type alias with one parameter. Before, it is an ndarray.
        dtype = np.dtype(parts[0] if origin is NDArray else get_args(parts[1])[0])
    num_axes = next((value for value in told if isinstance(value, int)), 1)
    record = from_dtype(dtype)
    return types.Array(record, num_axes, "C") if num_axes else record, dtype


def _note_places(self: Any) -> None:
    """Store the addresses, lengths and numbers of all fields, in words of eight bytes."""
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
    object.__setattr__(self, "_words", packed)  # lives as long as the structure
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
    """Read a field. It never changes, so the optimiser may read it once."""
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
