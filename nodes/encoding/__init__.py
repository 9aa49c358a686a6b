"""The heavy side of the encoders: these modules import torch and are imported when a node runs."""
