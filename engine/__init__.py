"""The engine: graphs, keys, the store and runs. It knows nothing of torch, of families or of video."""
