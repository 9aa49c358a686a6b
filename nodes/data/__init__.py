"""Clips and captions: scanning, windows, buckets, decoding, prompts, and the drawn sample clips."""
