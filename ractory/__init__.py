"""Ractory: a factory's production pieces, for many companies, synchronised in bulk."""

__version__ = "0.2.0"
