"""Following a run by its folder, for whoever shows it: its state, its metrics, its log and its files."""

from vflow.engine.following.log import LEVELS, Level, LogFilter, LogIndex, LogLine, Selection
from vflow.engine.following.origin import Origin, origins
from vflow.engine.following.published import Published
from vflow.engine.following.run import Following, Status
from vflow.engine.following.series import Point, Series
from vflow.engine.following.standing import NodeRun

__all__ = [
    "LEVELS",
    "Following",
    "Level",
    "LogFilter",
    "LogIndex",
    "LogLine",
    "NodeRun",
    "Origin",
    "Point",
    "Published",
    "Selection",
    "Series",
    "Status",
    "origins",
]
