"""What is worth a warning about captions and prompts: no word of motion, or too few words. Light.

Both are guesses from words alone. They know English only, and say nothing of captions that do not look like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: words that begin with one of these tell that something moves; generous, since a false alarm is worse than none
_MOVES = re.compile(
    r"\b(?:"
    r"accelerat|advanc|approach|arriv|ascend|bark|beckon|bend|bent|bit|blew|blink|bloom|blow|bounc"
    r"|bow(s|ed|ing)\b|breath|briskly|brush|burn|burst|carries|carry|carrying|catch|caught|chas|chew|chop|circl"
    r"|clap|climb|clos|collaps|com(es|ing)\b|cook|crash|crawl|cross|crumbl|cut|cycl|danc|dart|dash|descend"
    r"|dig(s|ging)\b|dip|div(e|es|ing)\b|drag|drift|drink|drip|driv|drop|drove|emerg|enter|erupt|exit|explod"
    r"|fad|fall|fell|fight|flap|flash|flew|flick|flies|flip|float|flow|flutter|fly|follow|gallop|gently|gestur"
    r"|glanc|glid|go(es|ing)\b|grab|gradually|grow|gush|hammer|hit(s|ting)\b|hop|hover|hug|hurr|juggl|jump|kick"
    r"|kiss|knead|land(s|ing|ed)\b|laugh|leans|leap|leav|lick|lift|look(s|ing)\b|lower|lung|march|melt|mix"
    r"|motion|mount|mov|nod|open|orbit|paddl|pan(s|ned|ning)\b|pass|pat(s|ting)\b|pedal|peel|perform|pick|play"
    r"|plung|point|pok|pour|press|pull|puls|push|quickly|race(s|d)?\b|racing|rais|ran\b|rapidly|reach|reced"
    r"|ride|riding|rippl|ris(e|es|ing)\b|roar|roll|rotat|run\b|running|runs|rush|sail|scamper|scatter|scrambl"
    r"|scroll|shak|shift|shiver|shoot|shrink|shuffl|sink|sip(s|ping)\b|skat|ski(s|ing)\b|skid|skip|slam|slic"
    r"|slid|slip|slither|slowly|smil|smok|smoothly|snap|snow(s|ing)\b|soar|spill|spin|splash|spray|spread"
    r"|sprint|stagger|startl|steadily|steam|step(s|ped|ping)\b|stir|stretch|strid|stroll|struggl|strut|stumbl"
    r"|suddenly|surf|sway|sweep|swiftly|swim|swing|swirl|swoop|talk|tap(s|ping)\b|tear(s|ing)\b|throw|tilt|toss"
    r"|touch|track|travel|trembl|trot|tumbl|turn|twirl|twist|twitch|typ(es|ing)\b|unfold|unroll|vanish|vibrat"
    r"|wad(e|es|ing)\b|walk|wander|wav(e|es|ing)\b|whirl|whisk|wip(e|es|ing)\b|wobbl|wriggl|writ(e|es|ing)\b"
    r"|zoom"
    r")",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\b(?:a|an|the|of|in|on|at|with|and|is|are|to|from|by)\b", re.IGNORECASE)
_NAMED = 2


def says_motion(text: str) -> bool:
    """Tell whether a caption has a word of motion, as far as a list of words goes."""
    return bool(_MOVES.search(text))


def still(captions: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a warning if most captions (name, text) are English and have no word of motion."""
    english = [(name, text) for name, text in captions if _ENGLISH.search(text)]
    lacking = sorted(name for name, text in english if not says_motion(text))
    if len(lacking) * 2 > len(captions):
        yield (
            f"{len(lacking)} of {len(captions)} captions have no word of motion ({', '.join(lacking[:_NAMED])}), which "
            "teaches clips that stand still: say what moves, and how"
        )


def short(texts: Sequence[tuple[str, str]], least: int, title: str, what: str) -> Iterator[str]:
    """Yield a warning if most texts (name, text) have fewer words than a family wants; `what` they are: captions."""
    few = sorted(name for name, text in texts if len(text.split()) < least)
    if least and len(few) * 2 > len(texts):
        named = ", ".join(few[:_NAMED])
        yield f"{len(few)} of {len(texts)} {what} are short ({named}): {title} wants {least} words or more"
