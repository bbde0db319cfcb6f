"""A reference's own motion parameters, coded alone and against another reference's."""

from __future__ import annotations

import numpy as np

from adasr_core.bitstream import BitstreamError, MotionCodec
from adasr_core.geometry import JACOBIAN_LIMIT, KEYPOINT_LIMIT
from fuzz.made_tables import made_tables
from fuzz.material import head_motion
from fuzz.target import Target

_K, _COMPONENTS = 5, 12
_CODEC = MotionCodec(made_tables(_K, _COMPONENTS), _K)
_MOTION = head_motion(_K, 30)


def build() -> Target:
    """Inputs: 1 byte, odd against a base, and the code. Decoded again after coding, it differs by a step at most."""
    base = _CODEC.decode_reference(_CODEC.encode_reference(_MOTION[0]))
    seeds = [b"\0" + _CODEC.encode_reference(frame) for frame in _MOTION[::10]]
    seeds += [b"\1" + _CODEC.encode_reference(frame, base) for frame in _MOTION[::10]]
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(seeds), max_bytes=400)


def _check(data: bytes) -> None:
    base = _MOTION[0] if data[:1] and data[0] % 2 else None
    parameters = _CODEC.decode_reference(data[1:], base)
    assert np.isfinite(parameters.vector()).all()
    assert np.abs(parameters.keypoints).max() <= KEYPOINT_LIMIT
    assert np.abs(parameters.jacobians).max() <= JACOBIAN_LIMIT
    if base is None:
        again = _CODEC.decode_reference(_CODEC.encode_reference(parameters))
        steps = made_tables(_K, _COMPONENTS).reference_steps
        assert (np.abs(again.vector() - parameters.vector()) <= steps).all()
