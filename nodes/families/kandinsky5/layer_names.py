"""How other programs name the transformer's layers: all as diffusers does.

Read in ComfyUI's `ldm/kandinsky5/model.py` and `lora.py`.
"""

from __future__ import annotations

from vflow.nodes.families.layer_names import LayerNames

NAMES = LayerNames(
    comfyui=(
        (
            "{text,visual}_transformer_blocks.#.{self_attention,cross_attention}.{to_query,to_key,to_value,out_layer}",
            "",
        ),
        ("{text,visual}_transformer_blocks.#.feed_forward.{in_layer,out_layer}", ""),
        ("text_transformer_blocks.#.text_modulation.out_layer", ""),
        ("visual_transformer_blocks.#.visual_modulation.out_layer", ""),
        ("time_embeddings.{in_layer,out_layer}", ""),
        ("{text,pooled_text,visual}_embeddings.in_layer", ""),
        ("out_layer.{modulation.out_layer,out_layer}", ""),
    )
)
