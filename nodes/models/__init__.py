"""Models: from the name a user writes to a recipe, to files on this machine, to live weights, and back again.

- `source.py` resolves a model's name; `layout.py` says which files of a checkpoint are loaded; `hub.py` asks the hub;
- `fetch.py` brings the files here; `facts.py` counts parameters and bytes without loading anything;
- `live.py` loads, places and restores; `adapters.py` and `offload.py` hold what can be done to a model (light), with
  the heavy side in `adapting.py` and `offloading.py`;
- `nodes.py` declares the nodes; `first_frames.py` says what image to video asks of the models at a node.
"""
