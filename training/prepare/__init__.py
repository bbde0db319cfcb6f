"""Preparing data: any video to face-centred clips with landmarks, splits by identity and a manifest.

video --> faces about eight times a second, cuts --> shots of one steady face --> square crop per shot
                                                                                        |
index.csv, manifest.json <-- record per video <-- clip.mp4, clip.npz <-- landmarks of every frame
"""
