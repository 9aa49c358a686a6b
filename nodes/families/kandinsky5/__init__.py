"""Kandinsky 5 Video: a transformer of channels-last latents, Qwen2.5-VL and CLIP for text, HunyuanVideo's first VAE."""

from vflow.nodes.families.kandinsky5.declaration import Kandinsky5

FAMILY = Kandinsky5()
