"""The yardstick: LoRA training of LTX-2 as one would write it by hand, in plain PyTorch, diffusers and peft.

It knows nothing of vflow. `training_overhead.py` writes the folder it reads and compares the times:

    python plain_loop.py FOLDER [--profile]

FOLDER holds `transformer/` (diffusers layout), `samples.safetensors` (`latents/N`, `video/N`, `audio/N`, `mask/N`, and
those of the empty caption under `empty`) and `settings.json`. Prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path

STARTED = time.time()
TEXT = ("video", "audio", "mask")

import torch  # noqa: E402
from diffusers import LTX2VideoTransformer3DModel  # noqa: E402
from peft import LoraConfig  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def make(folder, settings):
    dtype = getattr(torch, settings["dtype"])
    model = LTX2VideoTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=dtype)
    model.requires_grad_(False)
    rank, dropout = settings["rank"], settings["dropout"]
    model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, lora_dropout=dropout, target_modules=settings["pattern"]))
    model.train()
    if settings["gradient_checkpointing"]:
        model.enable_gradient_checkpointing()
    parameters = [p for p in model.parameters() if p.requires_grad]
    return model, parameters, torch.optim.AdamW(parameters, lr=settings["lr"], fused=True)


def batches(data, settings):
    size, buckets = settings["batch_size"], {}
    for name in data:
        if name.startswith("latents/"):
            buckets.setdefault(data[name].shape, []).append(name.removeprefix("latents/"))
    while True:
        epoch = []
        for rows in buckets.values():
            order = [rows[place] for place in torch.randperm(len(rows))]
            epoch += [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
        for place in torch.randperm(len(epoch)):
            texts = [row if torch.rand(()) >= settings["caption_dropout"] else "empty" for row in epoch[place]]
            latents = torch.stack([data[f"latents/{row}"] for row in epoch[place]])
            yield (
                latents,
                *(torch.stack([data[f"{name}/{row}"] for row in texts]) for name in ("video", "audio", "mask")),
            )


def loss_of(model, batch, settings):
    latents, video, audio, mask = batch
    f, h, w = latents.shape[2:]
    latents = latents.flatten(2).transpose(1, 2)
    noise, dtype = torch.randn_like(latents), getattr(torch, settings["dtype"])
    sigmas = torch.sigmoid(torch.randn(len(latents)) + 0.95)[:, None, None]
    noised = ((1 - sigmas) * latents + sigmas * noise).to(dtype)
    t = sigmas.view(-1) * 1000
    silence = torch.zeros(len(t), 1, model.config.audio_in_channels, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bf16"):
        said = model(
            hidden_states=noised, audio_hidden_states=silence,
            encoder_hidden_states=video.to(dtype), audio_encoder_hidden_states=audio[:, :1].to(dtype),
            timestep=t, audio_timestep=t, sigma=t, audio_sigma=t,
            encoder_attention_mask=mask, audio_encoder_attention_mask=mask[:, :1],
            num_frames=f, height=h, width=w, fps=settings["fps"], audio_num_frames=1,
            isolate_modalities=True, use_cross_timestep=True, return_dict=False,
        )[0]  # fmt: skip
    return (said.float() - (noise - latents)).square().mean()


def steps(folder):
    """Yield after every step."""
    settings = json.loads((folder / "settings.json").read_text())
    model, parameters, optimizer = make(folder, settings)
    for batch in batches(load_file(folder / "samples.safetensors"), settings):
        loss_of(model, batch, settings).backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings["clip_norm"])
        optimizer.step()
        optimizer.zero_grad()
        yield


if __name__ == "__main__":
    training = steps(Path(sys.argv[1]))
    next(training)
    print(json.dumps({"first_step": time.time() - STARTED}))
    if "--profile" in sys.argv:
        import cProfile

        cProfile.run("for _ in range(100): next(training)", sort="cumtime")
