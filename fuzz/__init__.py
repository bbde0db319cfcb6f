"""Coverage-guided fuzzing of everything that reads bytes from a peer or a file: ``python -m fuzz all``.

::

    target (fuzz.targets.*)    seeds made by the product's own encoders, and a check: parse, and what must hold then
      -> watch (fuzz.watch)    the law: parse or raise the documented error, within 100 ms and 64 MiB
      -> engine (fuzz.engines) atheris (libFuzzer guided by the coverage of the Python code), or plain random mutation
      -> runner (fuzz.runner)  one process a target, a table of the figures

See docs/fuzzing.md.
"""
