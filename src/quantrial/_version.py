"""The version, apart from the public names: every file may ask for it."""

__version__ = "0.2.0"
