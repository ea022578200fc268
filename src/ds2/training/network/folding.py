"""Networks whose batch normalisation is folded into their weights, as bundles hold them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ds2.training.network.network import Network

NAMES = {
    "fwd.weight_ih": "input_weight",
    "fwd.bias_ih": "bias",
    "fwd.weight_hh": "recurrent_weight_forward",
    "bwd.weight_hh": "recurrent_weight_backward",
}
"""Names of recurrent weights: in `Network.inference_weights`, and in the network's state."""


def folded_state(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """The state of a network without batch norm that has these folded weights.

    weights: as `Network.inference_weights` returns them.
    """
    state = {}
    for name, value in weights.items():
        layer, _, rest = name.partition(".")
        if layer == "recurrent":
            index, _, rest = rest.partition(".")
            if rest not in NAMES:
                continue  # W and its bias are shared by the directions; bias_hh is zero
            name = f"recurrent.{index}.{NAMES[rest]}"
        state[name] = torch.from_numpy(value)
    return state


def folded_network(network: Network, weights: Mapping[str, NDArray[np.float32]]) -> Network:
    """The network without batch norm that has these folded weights, in evaluation mode."""
    folded = Network(replace(network.config, batch_norm=False), network.num_labels)
    folded.load_state_dict(folded_state(weights))
    return folded.eval()
