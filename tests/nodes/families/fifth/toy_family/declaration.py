"""What the family is. Light: the networks are imported when they are called."""

from vflow.nodes.families.base import Family
from vflow.nodes.families.rules import (
    Anatomy,
    Flavour,
    LoRATarget,
    PromptTokens,
    SamplingDefaults,
    SamplingOption,
    VideoRules,
)


class Toy(Family):
    name = "toy"
    title = "Toy Video"
    flavours = {"small": Flavour("toymakers/toy-video", about="a toy, text to video")}
    classes = {
        "transformer": frozenset({"ToyDenoiser"}),
        "vae": frozenset({"ToyVAE"}),
        "text_encoder": frozenset({"ToyText"}),
    }
    folders = {"transformer": ("transformer",), "vae": ("vae",), "text_encoder": ("text_encoder",)}
    rules = VideoRules(
        frames_step=2, frames_rest=1, size_multiple=8, temporal_ratio=2, spatial_ratio=8, latent_channels=4, fps=12.5
    )
    sampling = SamplingDefaults(steps=4, guidance=3.0, width=96, height=64, frames=9)
    sampling_options = {"shift": SamplingOption(1.0, "shift of the schedule")}
    prompt_tokens = PromptTokens(usual=12, most=16)
    negative_prompt = "a white noise"
    noise = "uniform"
    anatomy = Anatomy(parameters=18_500, width=32, blocks=2)
    lora_targets = {"attention": LoRATarget(r"blocks\.\d+\.to_(?:q|k|v|out)", "attention of both blocks")}
    default_lora_target = "attention"
    widths = frozenset({32})
    miniature_version = 1

    def load(self, part, folder, dtype):
        from toy_family import networks

        return networks.load(part, folder / part, dtype)

    def build_miniature(self, folder, seed, task="t2v"):
        from toy_family import networks

        networks.build(folder, seed)

    def encode_text(self, text_encoder, captions, tokens=None):
        return text_encoder.network.encode(captions, tokens or self.prompt_tokens.usual)

    def encode_video(self, vae, pixels, posterior, noise):
        return vae.network.encode(pixels).cpu()

    def draw_sigmas(self, batch, draws, options):
        return 1.0 - draws.uniform("sigma")

    def predict(self, transformer, batch, sigmas, draws, options):
        from toy_family import networks

        return networks.predict(transformer, batch, sigmas, draws)

    def draw(self, transformer, vae, request):
        from toy_family import networks

        return networks.draw(transformer.network, vae.network, request)

    def save_adapter(self, transformer, folder):
        from vflow.nodes.families import adapters

        return adapters.save(_bare(transformer), folder, self)

    def load_adapter(self, transformer, file, weight):
        from vflow.nodes.families import adapters

        adapters.load(_bare(transformer), file, weight, self)


def _bare(transformer):
    from toy_family import networks
    from vflow.nodes.families.loading import unwrapped

    return unwrapped(networks.network_of(transformer), networks.ToyDenoiser)
