"""ONNX files as messages that can be read, changed and written: the only file that knows protobuf.

The package `onnx` does the same and is needed for training alone. onnxruntime brings protobuf with
it. Only the fields that ds2 changes are named here. protobuf keeps all others as they are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

PACKAGE = "ds2.onnx"
FIELDS = {
    "Model": "8*opset_import:Opset 7.graph:Graph",
    "Opset": "1.domain:string 2.version:int64",
    "Graph": "1*node:Node 2.name:string 5*initializer:Tensor 11*input:Value 12*output:Value",
    "Value": "1.name:string",
    "Node": "1*input:string 2*output:string 4.op_type:string 5*attribute:Attribute 7.domain:string",
    "Attribute": "1.name:string 2.f:float 3.i:int64 4.s:bytes 6.g:Graph 8*ints:int64 20.type:int32",
    "Tensor": "1*dims:int64 2.data_type:int32 8.name:string 9.raw_data:bytes",
}
"""The fields of each message: its number, "." for one value or "*" for many, its name and type.

The numbers are those of onnx.proto. The names of the messages do not appear in files.
"""
FLOAT, INT, GRAPH, INTS = 1, 2, 5, 7
"""How an attribute's field `type` says which of the other fields holds the value."""
DATA_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3}
DATA_TYPES |= {np.dtype(np.int64): 7}

Message = Any
"""A message of protobuf, whose classes are made when this module is loaded."""


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="ds2_onnx.proto", package=PACKAGE)
    field_type = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in FIELDS.items():
        message = file.message_type.add(name=message_name)
        for text in fields.split():
            place, _, kind = text.partition(":")
            number, is_list, name = place.partition("*")
            if not is_list:
                number, _, name = place.partition(".")
            label = field_type.LABEL_REPEATED if is_list else field_type.LABEL_OPTIONAL
            field = message.field.add(name=name, number=int(number), label=label)
            if kind in FIELDS:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()  # our own: another package may know these names
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in FIELDS
    }


_CLASSES = _message_classes()


def parse_model(data: bytes) -> Message:
    """The message of an ONNX file. Raises protobuf's own exceptions if the bytes are none."""
    return _CLASSES["Model"].FromString(data)


def make_tensor(name: str, value: NDArray[Any]) -> Message:
    """A constant array of a graph: float32, int64, int8 or uint8."""
    value = np.asarray(value)
    return _CLASSES["Tensor"](
        name=name,
        dims=value.shape,
        data_type=DATA_TYPES[value.dtype],
        raw_data=value.astype(value.dtype.newbyteorder("<")).tobytes(),
    )


def make_value(name: str) -> Message:
    """An input or output of a graph; the runtime finds out its type."""
    return _CLASSES["Value"](name=name)


def make_graph(
    name: str, nodes: Sequence[Message], inputs: Sequence[str], outputs: Sequence[str]
) -> Message:
    """A graph within a graph: the body of a loop."""
    return _CLASSES["Graph"](
        name=name,
        node=nodes,
        input=[make_value(given) for given in inputs],
        output=[make_value(given) for given in outputs],
    )


def make_opset(domain: str, version: int) -> Message:
    """The version of the operators of one domain that a model uses."""
    return _CLASSES["Opset"](domain=domain, version=version)


def make_node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], domain: str, **attributes: Any
) -> Message:
    """One operation. attributes: int, float, a list of int, or a graph."""
    node = _CLASSES["Node"](op_type=operator, input=inputs, output=outputs, domain=domain)
    for name, value in attributes.items():
        if isinstance(value, int):
            node.attribute.add(name=name, type=INT, i=value)
        elif isinstance(value, float):
            node.attribute.add(name=name, type=FLOAT, f=value)
        elif isinstance(value, list):
            node.attribute.add(name=name, type=INTS, ints=value)
        else:
            node.attribute.add(name=name, type=GRAPH, g=value)
    return node


def attributes_of(node: Message) -> dict[str, Any]:
    """The whole numbers and strings among a node's attributes, by name."""
    return {each.name: each.i if each.type == INT else each.s for each in node.attribute}
