"""How NVIDIA's code names the transformer's layers: queries, keys and values fused, for text keys and values.

Read in diffusers' conversion script for Sana Video. ComfyUI itself has no Sana Video; node packages that run it build
on NVIDIA's code.
"""

from __future__ import annotations

from vflow.nodes.families.layer_names import LayerNames

NAMES = LayerNames(
    comfyui=(
        ("transformer_blocks.#.attn1.{to_q,to_k,to_v}", "blocks.#.attn.qkv"),
        ("transformer_blocks.#.attn1.to_out.0", "blocks.#.attn.proj"),
        ("transformer_blocks.#.attn2.to_q", "blocks.#.cross_attn.q_linear"),
        ("transformer_blocks.#.attn2.{to_k,to_v}", "blocks.#.cross_attn.kv_linear"),
        ("transformer_blocks.#.attn2.to_out.0", "blocks.#.cross_attn.proj"),
        ("caption_projection.{linear_1,linear_2}", "y_embedder.y_proj.{fc1,fc2}"),
        ("time_embed.emb.timestep_embedder.{linear_1,linear_2}", "t_embedder.mlp.{0,2}"),
        ("time_embed.linear", "t_block.1"),
        ("proj_out", "final_layer.linear"),
    )
)
