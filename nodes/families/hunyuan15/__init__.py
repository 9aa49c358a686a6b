"""HunyuanVideo 1.5: latents of 16x16x4 pixels, Qwen2.5-VL for the caption, ByT5 for what stands in quotes."""

from vflow.nodes.families.hunyuan15.declaration import HunyuanVideo15

FAMILY = HunyuanVideo15()
