"""From trained networks to a model folder: ONNX graphs, parity gate, manifest."""
