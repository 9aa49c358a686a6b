"""A run that is held to a lock takes the commit of the lock, whatever the branch stands for by now."""

import shutil

from vflow.nodes.models import hub as hub_module
from vflow.nodes.models.source import resolve

MODEL = "Maker/Toy-1"


class Held:
    """Lays pins over a context, and notes what is pinned."""

    def __new__(cls, context, pins):
        held = type("Held", (type(context),), {"pinned": lambda self, what: pins.get(what), "pin": cls.note})
        other = held(context.folder)
        other.facts, other.noted = context.facts, {}
        return other

    def note(self, what, identity):
        self.noted[what] = identity


def test_resolving_says_which_commit_a_name_stood_for(hub, context):
    held = Held(context, {})
    resolve(MODEL, "vae", held)
    assert held.noted == {f"hub {MODEL}@main": hub.commit}


def test_the_commit_of_the_lock_is_asked_for(hub, context):
    held = Held(context, {f"hub {MODEL}@main": "b" * 40})
    resolve(MODEL, "vae", held)
    assert any(f"/revision/{'b' * 40}" in path for _, path in hub.log)
    assert not any("/revision/main" in path for _, path in hub.log)


def test_what_was_resolved_by_branch_is_known_by_commit_without_a_network(hub, context):
    one = resolve(MODEL, "vae", context)
    locked = hub.commit
    hub.commit = "c" * 40
    context.refresh = True
    assert resolve(MODEL, "vae", context).commit == "c" * 40
    hub.server.shutdown()
    shutil.rmtree(hub_module.cache_folder())
    held = Held(context, {f"hub {MODEL}@main": locked})
    held.offline = True
    assert resolve(MODEL, "vae", held) == one


def test_the_files_of_a_folder_are_pinned_without_its_path(hub, context, tmp_path):
    held = Held(context, {})
    resolve(str(hub.folder), "vae", held)
    assert held.noted
    assert all(what.startswith("file vae/") and str(tmp_path) not in what for what in held.noted)
