"""The terminal UI: reads graphs and events, starts runs. It has no logic of its own."""
