"""How Tencent's code and ComfyUI name the transformer's layers. ComfyUI fuses queries, keys and values.

Read in diffusers' conversion script for HunyuanVideo 1.5 and in ComfyUI's `ldm/hunyuan_video/model.py` and `lora.py`.
The last layer's modulation is left out: its halves change places between the two.
"""

from __future__ import annotations

from vflow.nodes.families.layer_names import LayerNames

_BLOCK, _THEIR_BLOCK = "transformer_blocks.#.", "double_blocks.#."
_REFINER = "context_embedder.token_refiner.refiner_blocks.#."
_THEIR_REFINER = "txt_in.individual_token_refiner.blocks.#."
_CONTEXT = "context_embedder.time_text_embed."

NAMES = LayerNames(
    comfyui=(
        (_BLOCK + "attn.{to_q,to_k,to_v}", _THEIR_BLOCK + "img_attn.qkv"),
        (_BLOCK + "attn.{add_q_proj,add_k_proj,add_v_proj}", _THEIR_BLOCK + "txt_attn.qkv"),
        (_BLOCK + "attn.{to_out.0,to_add_out}", _THEIR_BLOCK + "{img_attn,txt_attn}.proj"),
        (_BLOCK + "{ff,ff_context}.net.{0.proj,2}", _THEIR_BLOCK + "{img_mlp,txt_mlp}.{0,2}"),
        (_BLOCK + "{norm1,norm1_context}.linear", _THEIR_BLOCK + "{img_mod,txt_mod}.lin"),
        (_REFINER + "attn.{to_q,to_k,to_v}", _THEIR_REFINER + "self_attn.qkv"),
        (_REFINER + "attn.to_out.0", _THEIR_REFINER + "self_attn.proj"),
        (_REFINER + "ff.net.{0.proj,2}", _THEIR_REFINER + "mlp.{0,2}"),
        (_REFINER + "norm_out.linear", _THEIR_REFINER + "adaLN_modulation.1"),
        ("context_embedder.proj_in", "txt_in.input_embedder"),
        (
            _CONTEXT + "{timestep_embedder,text_embedder}.{linear_1,linear_2}",
            "txt_in.{t_embedder,c_embedder}.{in_layer,out_layer}",
        ),
        ("time_embed.timestep_embedder.{linear_1,linear_2}", "time_in.{in_layer,out_layer}"),
        ("context_embedder_2.{linear_1,linear_2,linear_3}", "byt5_in.{fc1,fc2,fc3}"),
        ("image_embedder.{linear_1,linear_2}", "vision_in.proj.{1,3}"),
        ("proj_out", "final_layer.linear"),
    ),
    others=(
        (
            _BLOCK + "attn.{to_q,to_k,to_v,add_q_proj,add_k_proj,add_v_proj}",
            _THEIR_BLOCK + "{img,txt}_attn_{q,k,v}",
        ),
        (_BLOCK + "attn.{to_out.0,to_add_out}", _THEIR_BLOCK + "{img,txt}_attn_proj"),
        (_BLOCK + "attn.{to_q,to_k,to_v}", _THEIR_BLOCK + "img_attn_qkv"),
        (_BLOCK + "attn.{add_q_proj,add_k_proj,add_v_proj}", _THEIR_BLOCK + "txt_attn_qkv"),
        (_BLOCK + "{ff,ff_context}.net.{0.proj,2}", _THEIR_BLOCK + "{img_mlp,txt_mlp}.{fc1,fc2}"),
        (_BLOCK + "{norm1,norm1_context}.linear", _THEIR_BLOCK + "{img_mod,txt_mod}.linear"),
        (_REFINER + "attn.{to_q,to_k,to_v}", _THEIR_REFINER + "self_attn_qkv"),
        (_REFINER + "attn.to_out.0", _THEIR_REFINER + "self_attn_proj"),
        (_REFINER + "ff.net.{0.proj,2}", _THEIR_REFINER + "mlp.{fc1,fc2}"),
        (_CONTEXT + "timestep_embedder.{linear_1,linear_2}", "txt_in.t_embedder.mlp.{0,2}"),
        (_CONTEXT + "text_embedder.{linear_1,linear_2}", "txt_in.c_embedder.{linear_1,linear_2}"),
        ("time_embed.timestep_embedder.{linear_1,linear_2}", "time_in.mlp.{0,2}"),
    ),
)
