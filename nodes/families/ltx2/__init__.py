"""LTX Video 2: one transformer for video and audio, Gemma 3 and connectors for text, latents of 32x32x8 pixels."""

from vflow.nodes.families.ltx2.declaration import LTX2

FAMILY = LTX2()
