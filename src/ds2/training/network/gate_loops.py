"""The work of one GRU step, except its products, on a CPU in float32, as compiled loops.

One call does a step of the whole minibatch, row by row. A row's arrays stay in the nearest cache
while short loops pass over them. Each loop touches few arrays: the compiler works on many units
at once only if it can check cheaply whether the arrays overlap.

A row is one utterance in one direction. Gates are (rows, 3 * H) in the order r, z, n.
"""

from typing import Any

import numpy as np

from ds2.compilation import over_arrays

Array = Any  # numpy float32: numba needs no annotations

TANH = np.array(
    [
        *(0.999999979867613, 0.13381115165835392, 0.003495692057815377),
        *(2.0610695398095326e-05, 1.335670404889786e-08),
        *(1.0, 0.46714430905855525, 0.025877383750340092),
        *(0.00032858006398225973, 7.777435637621326e-07),
        *(9.0, 0.5),
    ],
    np.float32,
)
"""tanh(x) = x P(x^2) / Q(x^2) up to |x| = 9: P, Q, that limit, and one half.

Our own least-squares fit, refined to make the largest error small: 2e-8, and 3e-7 in float32.
"""


@over_arrays
def step(
    projected: Array, recurrent: Array, before: Array, tanh: Array, recurrent_n: Array, after: Array
) -> None:
    """The next state: r, z = sigmoid(x + U h); n = tanh(x_n + r * U_n h); n + z * (h - n).

    projected: x, which r, z, n overwrite; recurrent: U h; before: h; recurrent_n receives U_n h.
    """
    hidden = before.shape[1]
    p0, p1, p2, p3, p4 = tanh[0], tanh[1], tanh[2], tanh[3], tanh[4]
    q0, q1, q2, q3, q4 = tanh[5], tanh[6], tanh[7], tanh[8], tanh[9]
    most, half = tanh[10], tanh[11]
    for row in range(len(before)):
        gates, sent = projected[row], recurrent[row]
        for unit in range(2 * hidden):  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
            x = (gates[unit] + sent[unit]) * half
            x = most if x > most else x
            x = -most if x < -most else x
            s = x * x
            y = x * (p0 + s * (p1 + s * (p2 + s * (p3 + s * p4))))
            y = y / (q0 + s * (q1 + s * (q2 + s * (q3 + s * q4))))
            gates[unit] = y * half + half
        r, z, n = gates[:hidden], gates[hidden : 2 * hidden], gates[2 * hidden : 3 * hidden]
        sent_n = sent[2 * hidden : 3 * hidden]
        kept, state, result = recurrent_n[row], before[row], after[row]
        for unit in range(hidden):
            x = n[unit] + r[unit] * sent_n[unit]
            x = most if x > most else x
            x = -most if x < -most else x
            s = x * x
            y = x * (p0 + s * (p1 + s * (p2 + s * (p3 + s * p4))))
            n[unit] = y / (q0 + s * (q1 + s * (q2 + s * (q3 + s * q4))))
        for unit in range(hidden):
            kept[unit] = sent_n[unit]
        for unit in range(hidden):
            result[unit] = n[unit] + z[unit] * (state[unit] - n[unit])


@over_arrays
def step_back(
    gates: Array,
    recurrent_n: Array,
    before: Array,
    gradient: Array,
    to_recurrent: Array,
    to_projected_n: Array,
    sent: Array,
) -> None:
    """The gradients of a step, from the gradient of its result.

    to_recurrent receives the gradient of U h, whose r and z parts are also those of x;
    to_projected_n receives the gradient of x_n; sent receives the part for h that passes no
    product.
    """
    hidden = before.shape[1]
    for row in range(len(before)):
        own, back, state = gates[row], gradient[row], before[row]
        r, z, n = own[:hidden], own[hidden : 2 * hidden], own[2 * hidden : 3 * hidden]
        to_all, un = to_recurrent[row], recurrent_n[row]
        to_r, to_z = to_all[:hidden], to_all[hidden : 2 * hidden]
        to_n, to_xn, past = to_all[2 * hidden : 3 * hidden], to_projected_n[row], sent[row]
        for unit in range(hidden):  # x - x * y is x * (1 - y) without a constant of another type
            to_new = back[unit] - back[unit] * z[unit]
            to_xn[unit] = to_new - to_new * n[unit] * n[unit]
        for unit in range(hidden):
            past[unit] = back[unit] * z[unit]
        for unit in range(hidden):
            to_n[unit] = to_xn[unit] * r[unit]
        for unit in range(hidden):
            to_gate = to_n[unit] * un[unit]
            to_r[unit] = to_gate - to_gate * r[unit]
        for unit in range(hidden):
            to_gate = past[unit] * (state[unit] - n[unit])
            to_z[unit] = to_gate - to_gate * z[unit]


@over_arrays
def add_rows(values: Array, others: Array, target: Array) -> None:
    """Add both to the target."""
    for row in range(len(target)):
        own, other, result = values[row], others[row], target[row]
        for unit in range(len(result)):
            result[unit] += own[unit] + other[unit]
