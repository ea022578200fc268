"""The int8 form of an exported step: the same network, with int8 numbers in its large products.

When ds2 loads a model, `with_int8_products` makes this form from the graph in the bundle. Each row
of a weight has one scale, as in a bundle with int8 weights. The int8 numbers of such a bundle stay
as they are. The step turns the other factor of a product into 8-bit numbers just before the
product:

- The inputs of a layer have a scale for each row. A row is one frame of one stream.
- The state of a GRU or LSTM lies in [-1, 1]. Its scale is always 1/127.

So no number depends on the other streams of a batch, or on the cuts between the chunks of audio.
Sums of whole numbers have no rounding, so their order does not matter. Chunks therefore give the
same result as the whole recording, bit for bit. Gates, states, convolutions and everything else
stay float32.

onnxruntime has no recurrent layer that has int8 products and takes a state. So a loop over the
frames (Scan) replaces each recurrent operator.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ds2.model.messages import (
    Message,
    attributes_of,
    make_graph,
    make_node,
    make_opset,
    make_tensor,
    make_value,
    parse_model,
)

ONNXRUNTIME = "com.microsoft"
"""The domain of onnxruntime's own operators."""
LARGEST = 127
MIDDLE = 128
"""The number that stands for 0 in the 8-bit factor of a weight."""
SMALLEST_ROW = 1e-30
"""The smallest scale. A row of zeros has this scale, because ds2 divides by the scale."""
KINDS = ("GRU", "LSTM", "RNN")

Evaluate = Callable[[bytes], list[NDArray[Any]]]
"""Runs a serialised graph without inputs; returns its outputs."""


class UnsuitableGraphError(ValueError):
    """The error for a graph that has no int8 form. Its message says why."""


def with_int8_products(model: bytes, evaluate: Evaluate, *, signed: bool = True) -> bytes:
    """The int8 form of a streaming step.

    signed: True stores the weights as int8. Processors with int8 instructions multiply these
        fastest. False stores the weights as uint8, and the products are the same. On a processor
        without int8 instructions, sums of signed products may overflow. Sums of unsigned products
        do not.
    Raises UnsuitableGraphError for a graph with operators that ds2 does not export or import.
    """
    message = parse_model(model)
    form = _Int8Form(message, signed=signed)
    form.learn_weights(evaluate)
    form.rewrite()
    return bytes(message.SerializeToString())


class _Nodes:
    """The operations of a new graph. Each of their outputs gets a name of its own."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[Message] = []
        self._prefix = prefix

    def add(
        self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> Any:
        """Add an operation; returns the name of its output, or a list with all their names."""
        names = [f"{self._prefix}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(make_node(operator, inputs, names, domain, **attributes))
        return names[0] if outputs == 1 else names

    def name_as(self, name: str, value: str) -> None:
        """Give a value a second name."""
        self.nodes.append(make_node("Identity", [value], [name], ""))


class _Int8Form:
    """A graph that becomes its int8 form: first `learn_weights`, then `rewrite`."""

    def __init__(self, model: Message, *, signed: bool) -> None:
        self._model = model
        self._graph = model.graph
        self._signed = signed
        self._producers = {name: node for node in self._graph.node for name in node.output}
        self._stored = {tensor.name for tensor in self._graph.initializer}
        self._constant: dict[str, bool] = {}
        self._weights: dict[str, NDArray[np.float32]] = {}
        self._new: dict[str, Message] = {}  # new stored tensors
        self._nodes = _Nodes("int8_")

    def learn_weights(self, evaluate: Evaluate) -> None:
        """Compute the float32 weights of all products from the tensors that the graph stores."""
        recurrent = [node for node in self._graph.node if node.op_type in KINDS]
        for node in recurrent:
            self._require_forward(node)
        wanted = [name for node in recurrent for name in node.input[1:4] if name]
        wanted += [node.input[1] for node in self._products()]
        if not recurrent or not all(map(self._is_constant, wanted)):
            raise UnsuitableGraphError("its layers are not those that ds2 exports")
        part = type(self._model)()
        part.CopyFrom(self._model)
        del part.graph.input[:], part.graph.output[:]
        part.graph.output.extend(make_value(name) for name in wanted)
        _prune(part.graph)
        self._weights = dict(zip(wanted, evaluate(part.SerializeToString()), strict=True))

    def rewrite(self) -> None:
        """Replace every recurrent layer and matrix product by its int8 form."""
        products = {node.output[0] for node in self._products()}
        for node in self._graph.node:
            if node.op_type in KINDS:
                self._rewrite_recurrent(node)
            elif node.output[0] in products:
                weight, name = self._weights[node.input[1]].T, node.output[0]
                product = self._input_product(node.input[0], weight, f"{name}_weight")
                self._nodes.name_as(name, product)
            else:
                self._nodes.nodes.append(node)
        nodes = list(self._nodes.nodes)
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(self._new.values())
        self._model.opset_import.append(make_opset(ONNXRUNTIME, 1))
        _prune(self._graph)

    def _products(self) -> list[Message]:
        """The nodes that multiply values by a weight."""
        return [
            node
            for node in self._graph.node
            if node.op_type == "MatMul" and self._is_constant(node.input[1])
        ]

    def _is_constant(self, name: str) -> bool:
        """Whether a value depends only on the tensors that the graph stores."""
        if name not in self._constant:
            node = self._producers.get(name)
            self._constant[name] = (
                name in self._stored
                if node is None
                else all(self._is_constant(given) for given in node.input if given)
            )
        return self._constant[name]

    def _require_forward(self, node: Message) -> None:
        """Raise UnsuitableGraphError unless a loop over the frames can replace the node."""
        found = attributes_of(node)
        joined = self._producers.get(node.input[0])
        if found.get("direction", b"forward") != b"forward" or node.input[4]:
            raise UnsuitableGraphError("it needs whole utterances")
        if joined is None or joined.op_type != "Concat" or len(node.input) < 6:
            raise UnsuitableGraphError("its layers are not those that ds2 exports")
        if node.op_type == "GRU" and found.get("linear_before_reset") != 1:
            raise UnsuitableGraphError("its GRU layers reset before they multiply")

    def _rewrite_recurrent(self, node: Message) -> None:
        """Replace a recurrent layer by a product and a loop.

        The product multiplies all frames by the input weights. The loop uses the recurrent
        weights. The inputs of the layer are values, and columns that say which frames exist. The
        weights of these columns are biases, and stay float32.
        """
        add, name = self._nodes.add, f"int8_{node.output[0]}"
        w, u = (self._weights[given][0] for given in node.input[1:3])
        bias = self._weights[node.input[3]][0] if node.input[3] else np.zeros(2 * len(w))
        values, *columns = self._producers[node.input[0]].input
        width = w.shape[1] - len(columns)
        given = self._input_product(values, w[:, :width], f"{name}_w")
        for i, column in enumerate(columns):
            weight = self._tensor(f"{name}_column_{i}", w[:, width + i])
            given = add("Add", given, add("Mul", column, weight))
        if bias[: len(w)].any():
            given = add("Add", given, self._tensor(f"{name}_bias", bias[: len(w)]))
        body = _Nodes(f"{name}_")
        steps = {"GRU": self._gru, "LSTM": self._lstm, "RNN": self._rnn}
        num_states = 2 if node.op_type == "LSTM" else 1
        states = [f"{name}_state_{i}" for i in range(num_states)]
        parts = [f"{name}_part_{i}" for i in range(2 if node.op_type == "GRU" else 1)]
        if len(parts) > 1:  # the reset gate acts on the last third only
            sizes = self._sizes(2 * u.shape[1], u.shape[1])
            sources = add("Split", given, sizes, outputs=2, axis=-1)
        else:
            sources = [given]
        nexts = steps[node.op_type](body, parts, states, u, bias[len(w) :])
        # Older versions of onnxruntime cannot infer the shapes, and a loop needs them.
        rows = self._tensor(f"int8_rows_{u.shape[1]}", np.array([-1, u.shape[1]], np.int64))
        nexts = [body.add("Reshape", state, rows) for state in nexts]
        out = body.add("Identity", nexts[0])
        before = [
            add("Squeeze", state, self._tensor("int8_first_axis", np.array([0])))
            for state in node.input[5 : 5 + num_states]
        ]
        *lasts, outputs = add(
            "Scan",
            *before,
            *sources,
            outputs=num_states + 1,
            num_scan_inputs=len(sources),
            body=make_graph(f"{name}_frame", body.nodes, [*states, *parts], [*nexts, out]),
        )
        axes = self._tensor("int8_second_axis", np.array([1])), "int8_first_axis"
        self._nodes.nodes.append(make_node("Unsqueeze", [outputs, axes[0]], node.output[:1], ""))
        for last, wanted in zip(lasts, node.output[1:], strict=True):
            self._nodes.nodes.append(make_node("Unsqueeze", [last, axes[1]], [wanted], ""))

    # These three methods add the operations for one frame of a layer. They return the next states.
    # parts: the products of the input, together (B, G * H), with the gates in ONNX's order.
    # states: (B, H) each. u: the recurrent weights, (G * H, H). bias: (G * H,), for the recurrent
    # product.

    def _gru(
        self, body: _Nodes, parts: list[str], states: list[str], u: Any, bias: Any
    ) -> list[str]:
        (state,), size = states, u.shape[1]
        product = self._state_product(body, state, u, bias)
        gates, inner = body.add("Split", product, self._sizes(2 * size, size), outputs=2, axis=-1)
        gates = body.add("Sigmoid", body.add("Add", parts[0], gates))
        update, reset = body.add("Split", gates, self._sizes(size, size), outputs=2, axis=-1)
        candidate = body.add("Add", parts[1], body.add("Mul", reset, inner))
        candidate = body.add("Tanh", candidate)
        kept = body.add("Mul", update, body.add("Sub", state, candidate))
        return [body.add("Add", candidate, kept)]

    def _lstm(
        self, body: _Nodes, parts: list[str], states: list[str], u: Any, bias: Any
    ) -> list[str]:
        (state, cell), size = states, u.shape[1]
        total = body.add("Add", parts[0], self._state_product(body, state, u, bias))
        gates, candidate = body.add("Split", total, self._sizes(3 * size, size), outputs=2, axis=-1)
        sizes = self._sizes(size, size, size)
        gates = body.add("Split", body.add("Sigmoid", gates), sizes, outputs=3, axis=-1)
        taken = body.add("Mul", gates[0], body.add("Tanh", candidate))
        cell = body.add("Add", body.add("Mul", gates[2], cell), taken)
        return [body.add("Mul", gates[1], body.add("Tanh", cell)), cell]

    def _rnn(
        self, body: _Nodes, parts: list[str], states: list[str], u: Any, bias: Any
    ) -> list[str]:
        rows, scale = self._rows(body, states[0])
        product = body.add("Mul", self._product(body, rows, u, f"{states[0]}_u"), scale)
        if bias.any():
            product = body.add("Add", product, self._tensor(f"{states[0]}_bias", bias))
        limits = self._number(0), self._number(20)
        return [body.add("Clip", body.add("Add", parts[0], product), *limits)]

    def _input_product(self, values: str, weight: Any, name: str) -> str:
        """Multiply a layer's input by a weight (rows, columns); returns the name of (n, B, rows).

        n is the number of frames.
        """
        if self._are_states(values):
            scale = self._number(1 / LARGEST)
            rows = self._nodes.add("QuantizeLinear", values, scale, self._middle())
            return self._product(self._nodes, rows, weight, name, scale)
        rows, scale = self._rows(self._nodes, values)
        product = self._product(self._nodes, rows, weight, name)
        return str(self._nodes.add("Mul", product, scale))

    def _are_states(self, name: str) -> bool:
        """Whether the values are the states of a GRU or LSTM, which lie in [-1, 1]."""
        node = self._producers.get(name)
        if node is not None and node.op_type == "Squeeze":
            name = node.input[0]
            node = self._producers.get(name)
        return node is not None and node.op_type in ("GRU", "LSTM") and node.output[0] == name

    def _state_product(self, body: _Nodes, state: str, u: Any, bias: Any) -> str:
        """Multiply a state in [-1, 1] by the recurrent weights; returns the name of (B, G * H)."""
        scale = self._number(1 / LARGEST)
        values = body.add("QuantizeLinear", state, scale, self._middle())
        return self._product(body, values, u, f"{state}_u", scale, bias)

    def _rows(self, nodes: _Nodes, values: str) -> tuple[str, str]:
        """Turn values into 8-bit numbers around MIDDLE, with a scale for each row, (..., 1).

        Returns the names of the numbers and of the scales.
        """
        largest = nodes.add("ReduceMax", nodes.add("Abs", values), axes=[-1], keepdims=1)
        scale = nodes.add("Mul", largest, self._number(1 / LARGEST))
        scale = nodes.add("Max", scale, self._number(SMALLEST_ROW))
        whole = nodes.add("Round", nodes.add("Div", values, scale))
        return nodes.add("Cast", nodes.add("Add", whole, self._number(MIDDLE)), to=2), scale

    def _product(
        self,
        nodes: _Nodes,
        values: str,
        weight: NDArray[np.float32],
        name: str,
        scale: str | None = None,
        bias: NDArray[np.float32] | None = None,
    ) -> str:
        """Multiply 8-bit values (..., columns) by a weight; returns the name of (..., rows).

        weight: (rows, columns). scale: the scale of the values. With None, the caller multiplies
        the product by the scale. bias: (rows,), or None.
        """
        scales = np.abs(weight).max(axis=1, keepdims=True) / np.float32(LARGEST)
        scales = np.maximum(scales, np.float32(SMALLEST_ROW))
        numbers = weight / scales
        stored = np.rint(numbers, out=numbers).astype(np.int8).T
        zero = np.zeros((), np.int8)
        if not self._signed:
            stored = (stored.astype(np.int16) + MIDDLE).astype(np.uint8)
            zero = np.full((), MIDDLE, np.uint8)
        inputs = [
            values,
            self._tensor(name, stored),
            scale or self._number(1),
            self._tensor(f"{name}_scales", scales[:, 0]),
            self._middle(),
            self._tensor("int8_zero", zero),
        ]
        if bias is not None and bias.any():
            inputs.append(self._tensor(f"{name}_bias", bias.astype(np.float32)))
        return str(nodes.add("MatMulIntegerToFloat", *inputs, domain=ONNXRUNTIME))

    def _middle(self) -> str:
        return self._tensor("int8_middle", np.full((), MIDDLE, np.uint8))

    def _number(self, value: float) -> str:
        number = np.float32(value)
        return self._tensor(f"int8_number_{number}", np.full((), number, np.float32))

    def _sizes(self, *sizes: int) -> str:
        return self._tensor("int8_sizes_" + "_".join(map(str, sizes)), np.array(sizes, np.int64))

    def _tensor(self, name: str, value: NDArray[Any]) -> str:
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        self._new.setdefault(name, make_tensor(name, value))
        return name


def _prune(graph: Message) -> None:
    """Remove the nodes and stored tensors that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # a node stands after the nodes whose values it takes
        if needed & {*node.output}:
            kept.append(node)
            needed |= _taken(node)
    nodes = list(reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)


def _taken(node: Message) -> set[str]:
    """The names of the values that a node takes, or that the body of its loop takes."""
    bodies: Iterable[Sequence[Message]] = (each.g.node for each in node.attribute)
    inner = (name for body in bodies for each in body for name in each.input)
    return {*node.input, *inner}
