"""The training loop: its declaration is light, what it does is imported when it runs."""

from vflow.nodes.training.train_loop import TrainLoop

__all__ = ["TrainLoop"]
