"""First frames: what image to video is conditioned on, and its pipeline. Both are computed by diffusers' own functions.

An image reaches the transformer twice: as a latent in the condition channels of latent frame 0, and as the tokens that
a vision encoder makes of it, beside those of the text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor

from vflow.engine.problems import Failure
from vflow.nodes.families.hunyuan15.parts import VideoVAE, Vision, without_notices
from vflow.nodes.families.loading import device_of

with without_notices():  # that torchvision is not installed: the processor of `Vision` never needs it
    from diffusers import HunyuanVideo15ImageToVideoPipeline


class ExactSizes(HunyuanVideo15ImageProcessor):  # type: ignore[misc]  # diffusers is untyped
    """The pipeline's image processor, for images that are of the clip's size already.

    The pipeline takes no size: it would choose the native one of the nearest shape, 480x816 for an image of 480x832.
    """

    def calculate_default_height_width(self, height: int, width: int, target_size: int) -> tuple[int, int]:
        """Return the image's own size; `target_size`, the root of the checkpoint's native area, is not asked."""
        return height, width


def processor_of(vae: VideoVAE) -> ExactSizes:
    """Return the image processor as the pipeline sets it up."""
    ratio = vae.vae.spatial_compression_ratio
    return ExactSizes(vae_scale_factor=ratio, do_resize=False, do_convert_rgb=True)


@torch.no_grad()
def encode(vae: VideoVAE, vision: Vision | None, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Encode first frames (B, 3, H, W) in [-1, 1], one by one, as the image-to-video pipeline does.

    Returns for each, on the CPU: `latent` (C, 1, h, w) float32, the mode of the posterior, scaled; and `features`
    (T, D) in the vision encoder's dtype, (729, 1152) at real size.

    Raises:
        Failure: there is no vision encoder.
    """
    if vision is None:
        raise Failure(
            "HunyuanVideo 1.5 reads an image through its vision encoder too",
            "add a LoadImageEncoder node and link it to image_encoder",
        )
    processor, encoded = processor_of(vae), []
    for frame in pixels:
        image = picture((frame.permute(1, 2, 0) + 1).mul(127.5).round().to("cpu", torch.uint8).numpy())
        latent = HunyuanVideo15ImageToVideoPipeline._get_image_latents(
            vae.vae, processor, image, image.height, image.width, device_of(vae.vae)
        )
        encoded.append({"latent": latent[0].float().cpu(), "features": features(vision, image)[0].cpu()})
    return encoded


@torch.no_grad()
def features(vision: Vision, image: PIL.Image.Image) -> torch.Tensor:
    """Return the vision encoder's last hidden state of an image, (1, T, D), where the encoder computes."""
    encoder = vision.image_encoder
    hidden: torch.Tensor = HunyuanVideo15ImageToVideoPipeline._get_image_embeds(
        encoder, vision.feature_extractor, image, device_of(encoder)
    )
    return hidden


def picture(pixels: np.ndarray) -> PIL.Image.Image:
    """Return (H, W, 3) uint8 as the kind of image that the pipeline takes."""
    return PIL.Image.fromarray(np.ascontiguousarray(pixels))


class ImagePipeline(HunyuanVideo15ImageToVideoPipeline):  # type: ignore[misc]  # diffusers is untyped
    """The image-to-video pipeline; its vision encoder may compute on another device than its transformer."""

    vision: Vision

    def encode_image(
        self, image: PIL.Image.Image, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return the image's features for each row of the batch."""
        return features(self.vision, image).repeat(batch_size, 1, 1).to(device=device, dtype=dtype)

    @classmethod
    def of(cls, vision: Vision | None, **parts: Any) -> ImagePipeline:
        """Put the pipeline together.

        Raises:
            Failure: there is no vision encoder.
        """
        if vision is None:
            raise Failure(
                "HunyuanVideo 1.5 draws from an image through its vision encoder",
                "add a LoadImageEncoder node and link it to the sampler's image_encoder",
            )
        pipeline = cls(image_encoder=None, feature_extractor=None, **parts)
        pipeline.vision = vision
        pipeline.video_processor = processor_of(VideoVAE(parts["vae"]))
        return pipeline
