"""How clips are drawn (`Sampler`, a recipe) and drawing them (`Validate`)."""

from vflow.nodes.validation.sampler import Sampler
from vflow.nodes.validation.validate import Validate

__all__ = ["Sampler", "Validate"]
