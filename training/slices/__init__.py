"""Training in slices: on a bare machine with torch, numpy and OpenCV alone, for some minutes at a time.

at home      adasr train pack   --> packs (data set, at most 28 MiB each)
             adasr train slice --import CHECKPOINT --> state in parts
bare machine python -m training.slices.run --packs DIR --resume STATE --minutes 9 --out DIR
               unpack (once) -> decode (all cores) -> train -> state in parts of at most 15 MiB, scalars, pictures
at home      adasr train slice --export STATE --out X.safetensors
"""
