"""Phantoms: drawn faces of people who do not exist, whose identity, age, gender and signs are known."""

from models.photos.eyes import Eye, EyeLandmarks
from phantom.drawing.identity import IDENTITY_NAMES, Phantom, sample_phantom
from phantom.drawing.renderer import Rendered, render
from phantom.drawing.shot import CAMERAS, Shot, sample_shot

__all__ = [
    "CAMERAS",
    "IDENTITY_NAMES",
    "Eye",
    "EyeLandmarks",
    "Phantom",
    "Rendered",
    "Shot",
    "render",
    "sample_phantom",
    "sample_shot",
]
