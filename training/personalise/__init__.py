"""Adapt a decoder to one person from a short clip: small weight differences that a peer receives before a call."""
