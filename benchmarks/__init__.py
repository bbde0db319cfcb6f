"""Measurements of the codec: each warms up, reports percentiles with the device and the precision, and writes JSON."""
