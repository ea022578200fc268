"""The network: layers, loss, shapes, weights for export."""
