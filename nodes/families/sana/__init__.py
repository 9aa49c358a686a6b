"""Sana Video: a transformer of linear attention, Gemma 2 for text, Wan's VAE with latents of 8x8x4 pixels."""

from vflow.nodes.families.sana.declaration import SanaVideo

FAMILY = SanaVideo()
