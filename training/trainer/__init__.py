"""One training loop for every stage, on one device or many, that stops and goes on exactly.

    stage (networks, phases, batches, validation) --+
    launcher (device, precision, processes) --------+--> Trainer.run() --> averaged networks
    RunConfig (length, pace) -----------------------+         |
                                                    checkpoint, best checkpoint, state, scalars, picture grid

Needs torch, numpy and OpenCV; Lightning Fabric, safetensors and TensorBoard are imported where they are used, so that
training in slices (`training.slices`) runs the same loop without them.
"""
