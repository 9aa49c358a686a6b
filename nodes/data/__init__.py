"""Clips, captions and stills: scanning, windows, buckets, decoding, prompts, and the drawn sample clips."""
