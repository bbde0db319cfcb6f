"""adasr: a video codec for faces in calls, and the command line that drives it.

The importable parts live in packages of their own, in the order of the data flow: ``sender``, ``adasr_core``
(bitstream, engines, networks), ``receiver``, ``call``; beside them ``training``, ``export`` and ``benchmarks``.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("adasr")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
