"""Phantoms: drawn faces of people who do not exist, whose identity, age, gender and signs are known."""

from models.phantom.identity import IDENTITY_NAMES, Phantom, sample_phantom
from models.phantom.renderer import Rendered, render
from models.phantom.shot import CAMERAS, Shot, sample_shot
from models.photos.eyes import Eye, EyeLandmarks

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
