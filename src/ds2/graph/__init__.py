"""Networks as ONNX graphs, built without torch."""
