"""The graph that the tests of the UI edit: small, with comments, a profile and a parameter."""

SMALL = """\
vflow: 1
name: small
about: A small LoRA.

params:
  rank: 8          # of the adapter
  clips: "sample://shapes"

profiles:
  tiny:
    params: {rank: 4}
    nodes:
      train: {steps: 2}

# the models
nodes:
  transformer:
    type: LoadTransformer
    model: tiny://ltx2
  vae:
    type: LoadVAE
    model: tiny://ltx2
  text_encoder:
    type: LoadTextEncoder
    model: tiny://ltx2

  clips:
    type: BucketVideos
    inputs: {vae: vae}
    source: ${clips}
    resolution: 64   # pixels
    frames: 17
  captions:
    type: EncodeText
    inputs: {text_encoder: text_encoder, captions: clips.captions}
  latents:
    type: EncodeVideo
    inputs: {vae: vae, clips: clips.clips}

  lora:
    type: ApplyLoRA
    inputs: {model: transformer}   # not offloaded yet
    rank: ${rank}
  train:
    type: TrainLoop
    inputs: {transformer: lora, latents: latents, captions: captions}
    steps: 20

outputs:
  lora: train.adapter
"""
