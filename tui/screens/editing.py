"""Editing the graph by its nodes: add, connect, rename, delete, ... Each asks what it has to know, then edits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vflow.engine.problems import VflowError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.screens.base import WorkScreen

if TYPE_CHECKING:
    from vflow.engine.offers import Offer
    from vflow.engine.outline import NodeView, PortView


class Editing(WorkScreen):
    """The actions on nodes and links."""

    # --- adding ----------------------------------------------------------------------------------------------------

    def action_add(self) -> None:
        """Add a node behind the selected one, or anywhere."""
        node, port = self.selected, self.port
        if node and port and port[1] == "in":
            self.ask(self._add_before(node, port[0]))
        else:
            self.ask(self._add(node, port[0] if port else None))

    async def _add_before(self, node: str, port: str) -> None:
        from vflow.engine.offers import types_before

        offers = types_before(self.workspace.loaded, node, port)
        choices = [Choice(one, one.type, one.summary) for one in offers]
        heading, nothing = f"add a node before {node}.{port}", f"no node type gives what {node}.{port} takes"
        offer = await self.app.push_screen_wait(Pick(heading, choices, nothing=nothing))
        if offer is not None:
            self._say_added(self.edit(partial(self.workspace.add_before, offer.type, node, port, offer.link)))

    async def _add(self, node: str | None, output: str | None) -> None:
        from vflow.engine.offers import types_after

        offers = types_after(self.workspace.loaded, node or "", output)
        source = f"{node}.{output}" if output else node
        heading = f"add a node after {source}" if node else "add a node"
        offer = await self.app.push_screen_wait(
            Pick(heading, _as_choices(offers, f"take what {source} gives"), placeholder="filter node types")
        )
        if offer is None:
            return
        readers = self.workspace.followers(offer.type, offer.port, offer.link) if offer.link else []
        if readers:
            into = await self._ask_between(offer.type, offer.link, [str(one) for one in readers])
            if into is None:
                return
            readers = readers if into else []
        inputs = {offer.port: offer.link} if offer.port else {}
        done = self.edit(partial(self.workspace.add, offer.type, inputs, node, readers))
        self._say_added(done)

    async def _ask_between(self, type_name: str, link: str, readers: list[str]) -> bool | None:
        """Ask whether a new node stands between a node and what reads it; None to add nothing."""
        said = f"{type_name} hands on what it takes. Should what reads {link} now read the new node?"
        replies = [
            Reply("between", "between", "b", "primary"),
            Reply("beside", "beside", "s"),
            Reply("no", "cancel", "n"),
        ]
        answer = await self.app.push_screen_wait(Ask("between or beside?", said, replies, readers))
        return None if answer in (None, "no") else answer == "between"

    def _say_added(self, done: tuple[str] | None) -> None:
        if done is None:
            return
        (name,) = done
        self.changed(name)
        view = self.workspace.outline.nodes.get(name)
        open_ports = [port.name for port in view.inputs if not port.links and not port.optional] if view else []
        more = f"; it still needs {', '.join(open_ports)} (c connects)" if open_ports else ""
        self.app.say(f"added {name}{more}")

    # --- links -----------------------------------------------------------------------------------------------------

    def action_connect(self) -> None:
        """Link the chosen port of the selected node, else ask which of its inputs."""
        if (node := self.node()) is not None:
            self.ask(self.connect_port(node, *self.port) if self.port else self._connect(node))

    async def connect_port(self, node: str, port: str, side: str) -> None:
        """Link a port: `side` is `in` or `out`."""
        await (self.connect_input(node, port) if side == "in" else self.connect_output(node, port))

    async def _connect(self, node: str) -> None:
        inputs = self.workspace.outline.nodes[node].inputs
        if not inputs:
            self.app.say(f"{node} takes no inputs", "warning")
            return
        port = inputs[0].name
        if len(inputs) > 1:
            choices = [Choice(one.name, one.name, _port_words(one)) for one in inputs]
            chosen = await self.app.push_screen_wait(Pick(f"connect which input of {node}?", choices))
            if chosen is None:
                return
            port = chosen
        await self.connect_input(node, port)

    async def connect_input(self, node: str, port: str) -> None:
        """Offer what fits an input: outputs of this graph, then node types that would give such a thing."""
        from vflow.engine.offers import sources_for, types_before

        loaded, view = self.workspace.loaded, _port(self.workspace.outline.nodes[node].inputs, port)
        there = "in this graph"
        choices = [
            Choice(("", link), link, self._words_of(link), group=there) for link in sources_for(loaded, node, port)
        ]
        choices += [
            Choice((offer.type, offer.link), offer.type, offer.summary, group="a new node")
            for offer in types_before(loaded, node, port)
        ]
        words = f", {view.words}" if view and view.words else ""
        nothing = f"nothing gives {view.words if view else 'this'}, in this graph or among the node types"
        chosen = await self.app.push_screen_wait(Pick(f"{node}.{port}{words}", choices, nothing=nothing))
        if chosen is None:
            return
        kind, link = chosen
        if kind:
            self._say_added(self.edit(partial(self.workspace.add_before, kind, node, port, link)))
        elif self.edit(partial(self.workspace.connect, node, port, link)) is not None:
            self.app.say(f"{node}.{port} reads {link}")

    async def connect_output(self, node: str, output: str) -> None:
        """Offer what could take an output: inputs of this graph, then node types."""
        from vflow.engine.offers import targets_for, types_after

        loaded = self.workspace.loaded
        offers = [offer for offer in types_after(loaded, node, output) if offer.port]
        choices: list[Choice[tuple[str, str] | Offer]] = [
            Choice((target, port), f"{target}.{port}", self._feeds(target, port), group="in this graph")
            for target, port in targets_for(loaded, node, output)
        ]
        choices += [Choice(offer, offer.type, offer.summary, group="a new node") for offer in offers]
        nothing = f"nothing takes {node}.{output}"
        chosen = await self.app.push_screen_wait(Pick(f"{node}.{output} feeds", choices, nothing=nothing))
        if chosen is None:
            return
        if not isinstance(chosen, tuple):
            add = partial(self.workspace.add, chosen.type, {chosen.port: chosen.link}, node)
            self._say_added(self.edit(add))
            return
        target, port = chosen
        link = node if len(self.workspace.outline.nodes[node].outputs) == 1 else f"{node}.{output}"
        if self.edit(partial(self.workspace.connect, target, port, link)) is not None:
            self.app.say(f"{target}.{port} reads {link}")

    def action_disconnect(self) -> None:
        """Take a link from the selected node."""
        if (node := self.node()) is not None:
            self.ask(self._disconnect(node, self.port))

    async def _disconnect(self, node: str, at: tuple[str, str] | None = None) -> None:
        outline = self.workspace.outline
        choices = [
            Choice((node, port.name, link), f"{port.name}: {link}", group=f"{node} reads")
            for port in outline.nodes[node].inputs
            for link in port.links
        ]
        choices += [
            Choice((view.name, port.name, link), f"{view.name}.{port.name}", link, group=f"what reads {node}")
            for view in outline.nodes.values()
            for port in view.inputs
            for link in port.links
            if link.partition(".")[0] == node and view.name != node
        ]
        if at is not None:
            choices = [one for one in choices if self._is_at(one.value, node, *at)]
        if not choices:
            self.app.say(f"{f'{node}.{at[0]}' if at else node} has no links", "warning")
            return
        chosen = choices[0].value
        if len(choices) > 1:
            picked = await self.app.push_screen_wait(Pick("take away which link?", choices))
            if picked is None:
                return
            chosen = picked
        if self.edit(partial(self.workspace.disconnect, *chosen)) is not None:
            self.app.say(f"{chosen[0]}.{chosen[1]} no longer reads {chosen[2]}")

    def _is_at(self, wire: tuple[str, str, str], node: str, port: str, side: str) -> bool:
        """Tell whether a link (who reads, at which port, what) begins or ends at a port of a node."""
        target, into, link = wire
        if side == "in":
            return (target, into) == (node, port)
        name, _, output = link.partition(".")
        outputs = self.workspace.outline.nodes[node].outputs
        return name == node and (output == port or (not output and len(outputs) == 1))

    # --- the node itself -------------------------------------------------------------------------------------------

    def action_rename(self) -> None:
        """Rename the selected node."""
        if (node := self.node()) is not None:
            self.ask(self._rename(node))

    async def _rename(self, node: str) -> None:
        prompt = Prompt(
            f"rename {node}",
            node,
            about="Links, outputs and profiles follow.",
            check=partial(self.workspace.name_problem, "node", node),
        )
        new = await self.app.push_screen_wait(prompt)
        if new and new != node and self.edit(partial(self.workspace.rename, node, new)) is not None:
            self.changed(new)

    def action_duplicate(self) -> None:
        """Copy the selected node."""
        if (node := self.node()) is not None and (done := self.edit(partial(self.workspace.duplicate, node))):
            self.changed(done[0])
            self.app.say(f"copied {node} to {done[0]}")

    def action_switch(self) -> None:
        """Disable the selected node, or enable it."""
        if (node := self.node()) is not None and (done := self.edit(partial(self.workspace.switch, node))):
            self.app.say(f"{node} is {'off' if done[0] else 'on'}")

    def action_delete(self) -> None:
        """Delete the selected node."""
        if (node := self.node()) is not None:
            self.ask(self._delete(node))

    async def _delete(self, node: str) -> None:
        try:
            deletion = self.workspace.deletion(node)
        except VflowError as error:
            self.app.say(str(error), "error")
            return
        how = "leave"
        if deletion.hanging:
            said = f"Without {node}, this would lead nowhere:"
            replies = [Reply("bridge", f"read {deletion.bridge}", "b", "primary")] if deletion.bridge else []
            replies += [Reply("unlink", "drop these", "l"), Reply("leave", "let them hang", "h", "error")]
            answer = await self.app.push_screen_wait(Ask(f"delete {node}?", said, replies, deletion.hanging))
            if answer is None:
                return
            how = answer
        names = list(self.workspace.outline.nodes)
        near = names[max(names.index(node) - 1, 0)] if node in names else ""
        delete = partial(self.workspace.delete, node, unlink=how == "unlink", bridge=how == "bridge")
        if self.edit(delete) is not None:
            self.changed(near)
            self.app.say(f"deleted {node} (u brings it back)")

    # --- words -----------------------------------------------------------------------------------------------------

    def _words_of(self, link: str) -> str:
        """Return the type of what a link brings."""
        name, _, output = link.partition(".")
        view: NodeView | None = self.workspace.outline.nodes.get(name)
        ports = view.outputs if view else ()
        found = _port(ports, output) if output else (ports[0] if len(ports) == 1 else None)
        return found.words if found else ""

    def _feeds(self, node: str, port: str) -> str:
        view = _port(self.workspace.outline.nodes[node].inputs, port)
        return _port_words(view) if view else ""


def _port(ports: tuple[PortView, ...], name: str) -> PortView | None:
    return next((port for port in ports if port.name == name), None)


def _port_words(port: PortView) -> str:
    """Return the type of an input, and what it reads now."""
    reads = f"reads {', '.join(port.links)}" if port.links else "optional" if port.optional else "needs something"
    return ", ".join(filter(None, [port.words, reads]))


def _as_choices(offers: list[Offer], fitting: str) -> list[Choice[Offer]]:
    return [
        Choice(
            offer,
            offer.type,
            offer.summary,
            f"into {offer.port}" if offer.port else "",
            fitting if offer.port else "others",
        )
        for offer in offers
    ]
