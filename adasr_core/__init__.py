"""The codec's core: motion parameters, bitstream, model folders, engines and networks."""
