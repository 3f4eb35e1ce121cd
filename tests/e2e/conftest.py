"""Servers that several modules share."""

from tests.e2e.label_studio_world import label_studio

__all__ = ["label_studio"]
