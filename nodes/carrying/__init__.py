"""How files of a video trainer carry the recipe that they came from: one module per format, found by its ending.

Each has `write(source, target, text)`, which copies a file with a text put in and changes nothing else in it, and
`read(file)`, which returns that text. Entry points of the group `vflow.carriers` name them by the ending without its
dot; other packages add formats the same way. Nothing here imports torch or PyAV: a run that computes nothing exports.
"""
