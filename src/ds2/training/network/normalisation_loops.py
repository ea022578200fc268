"""Batch normalisation on a CPU in few passes over memory, as compiled loops.

The statistics take two passes. Gain, offset, clipped ReLU and mask take one pass together. The
backward pass takes two passes, or three with the clipped ReLU. It keeps no array of the values'
size except the values. Every loop works on a range of the units, so that threads share the work.
The division into threads changes no bit of the result.

Values are (rows, units), `is_valid` is (rows,) uint8. `partial` holds sums of BLOCK rows in the
values' precision, before they enter the (units,) float64 totals.

The compiler works on many units at once under two conditions. Inner loops begin at 0 and run over
slices. And a loop uses few arrays, so that the compiler can check cheaply whether they overlap.
"""

from typing import Any

from ds2.compilation import over_arrays

Array = Any  # numpy, of the values' type if no docstring differs: numba needs no annotations

BLOCK = 64
"""Rows that are summed in the values' own precision before they enter a total."""


@over_arrays
def add_up(
    values: Array, is_valid: Array, first: int, last: int, partial: Array, totals: Array
) -> None:
    """Add each unit's valid values to `totals`."""
    partial, totals = partial[first:last], totals[first:last]
    for begin in range(0, len(is_valid), BLOCK):
        for row in range(begin, min(begin + BLOCK, len(is_valid))):
            if is_valid[row]:
                own = values[row, first:last]
                for unit in range(len(own)):
                    partial[unit] += own[unit]
        for unit in range(len(partial)):
            totals[unit] += partial[unit]
            partial[unit] = 0


@over_arrays
def add_up_squares(
    values: Array,
    is_valid: Array,
    mean: Array,
    first: int,
    last: int,
    partial: Array,
    totals: Array,
) -> None:
    """Add each unit's squared distances from its mean to `totals`."""
    mean, partial, totals = mean[first:last], partial[first:last], totals[first:last]
    for begin in range(0, len(is_valid), BLOCK):
        for row in range(begin, min(begin + BLOCK, len(is_valid))):
            if is_valid[row]:
                own = values[row, first:last]
                for unit in range(len(own)):
                    distance = own[unit] - mean[unit]
                    partial[unit] += distance * distance
        for unit in range(len(partial)):
            totals[unit] += partial[unit]
            partial[unit] = 0


@over_arrays
def apply(
    values: Array,
    is_valid: Array,
    mean: Array,
    scale: Array,
    beta: Array,
    lowest: float,
    highest: float,
    first: int,
    last: int,
    result: Array,
) -> None:
    """Write (values - mean) * scale + beta, kept between the limits; 0 for rows not valid."""
    mean, scale, beta = mean[first:last], scale[first:last], beta[first:last]
    for row in range(len(is_valid)):
        own, target = values[row, first:last], result[row, first:last]
        if is_valid[row]:
            for unit in range(len(own)):
                y = (own[unit] - mean[unit]) * scale[unit] + beta[unit]
                y = lowest if y < lowest else y  # written so that NaN stays NaN
                target[unit] = highest if y > highest else y
        else:
            for unit in range(len(target)):
                target[unit] = 0


@over_arrays
def pass_back(
    gradient: Array,
    values: Array,
    is_valid: Array,
    mean: Array,
    scale: Array,
    beta: Array,
    lowest: float,
    highest: float,
    first: int,
    last: int,
    result: Array,
) -> None:
    """Write the gradient of the values that `apply` limited: 0 where a limit applied."""
    mean, scale, beta = mean[first:last], scale[first:last], beta[first:last]
    for row in range(len(is_valid)):
        if is_valid[row]:
            own, target = values[row, first:last], result[row, first:last]
            back = gradient[row, first:last]
            for unit in range(len(own)):
                y = (own[unit] - mean[unit]) * scale[unit] + beta[unit]
                passed = back[unit] if y > lowest else lowest  # which is 0
                target[unit] = passed if y < highest else lowest


@over_arrays
def add_up_gradients(
    gradient: Array,
    values: Array,
    is_valid: Array,
    mean: Array,
    first: int,
    last: int,
    partial: Array,
    partial_moved: Array,
    totals: Array,
    totals_moved: Array,
) -> None:
    """Add up the gradient, and the gradient times the distance from the mean."""
    mean, partial, partial_moved = mean[first:last], partial[first:last], partial_moved[first:last]
    totals, totals_moved = totals[first:last], totals_moved[first:last]
    for begin in range(0, len(is_valid), BLOCK):
        for row in range(begin, min(begin + BLOCK, len(is_valid))):
            if is_valid[row]:
                own, back = values[row, first:last], gradient[row, first:last]
                for unit in range(len(own)):
                    partial[unit] += back[unit]
                    partial_moved[unit] += back[unit] * (own[unit] - mean[unit])
        for unit in range(len(partial)):
            totals[unit] += partial[unit]
            partial[unit] = 0
        for unit in range(len(partial)):
            totals_moved[unit] += partial_moved[unit]
            partial_moved[unit] = 0


@over_arrays
def apply_backward(
    gradient: Array,
    values: Array,
    is_valid: Array,
    mean: Array,
    scale: Array,
    offset: Array,
    slope: Array,
    first: int,
    last: int,
    result: Array,
) -> None:
    """Write the values' gradient: (gradient - offset - distance * slope) * scale, 0 where padded.

    result: may be `gradient` itself.
    """
    mean, scale, offset = mean[first:last], scale[first:last], offset[first:last]
    slope = slope[first:last]
    for row in range(len(is_valid)):
        own, target = values[row, first:last], result[row, first:last]
        if is_valid[row]:
            back = gradient[row, first:last]
            for unit in range(len(own)):
                distance = own[unit] - mean[unit]
                target[unit] = (back[unit] - offset[unit] - distance * slope[unit]) * scale[unit]
        else:
            for unit in range(len(target)):
                target[unit] = 0
