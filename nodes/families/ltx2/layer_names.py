"""How Lightricks' code and ComfyUI name the transformer's layers: mostly as diffusers does, and none fused.

Read in diffusers' `convert_ltx2_transformer_to_diffusers` and ComfyUI's `ldm/lightricks/av_model.py` and `lora.py`.
"""

from __future__ import annotations

from vflow.nodes.families.layer_names import LayerNames

_TIME_LAYERS = ".{emb.timestep_embedder.linear_1,emb.timestep_embedder.linear_2,linear}"

NAMES = LayerNames(
    comfyui=(
        (
            "transformer_blocks.#.{attn1,attn2,audio_attn1,audio_attn2,audio_to_video_attn,video_to_audio_attn}"
            ".{to_q,to_k,to_v,to_out.0,to_gate_logits}",
            "",
        ),
        ("transformer_blocks.#.{ff,audio_ff}.net.{0.proj,2}", ""),
        ("{caption_projection,audio_caption_projection}.{linear_1,linear_2}", ""),
        ("{proj_out,audio_proj_out}", ""),
        ("{proj_in,audio_proj_in}", "{patchify_proj,audio_patchify_proj}"),
        ("{time_embed,audio_time_embed}" + _TIME_LAYERS, "{adaln_single,audio_adaln_single}" + _TIME_LAYERS),
        (
            "av_cross_attn_{video_scale_shift,audio_scale_shift,video_a2v_gate,audio_v2a_gate}" + _TIME_LAYERS,
            "av_ca_{video_scale_shift,audio_scale_shift,a2v_gate,v2a_gate}_adaln_single" + _TIME_LAYERS,
        ),
        (
            "{prompt_adaln,audio_prompt_adaln}" + _TIME_LAYERS,
            "{prompt_adaln_single,audio_prompt_adaln_single}" + _TIME_LAYERS,
        ),
    )
)
