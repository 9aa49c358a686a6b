"""The store: what it holds by graph and node, and keeping it in order."""
