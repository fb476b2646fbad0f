"""The orders in which two operations can run their steps, but for those that are known to be the same run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.paced import Turn

Step = tuple[str, str, int | None]
Past = tuple[Step, ...]
"""The steps of an operation: what had been committed when each began and ended, and how far the other was if it waited."""


@dataclass
class Node:
    """A place where either operation may go on."""

    pasts: tuple[Past, Past]
    committed: str
    tried: list[int]

    @property
    def chosen(self) -> int:
        return self.tried[-1]


@dataclass
class Orders:
    """Walks the tree of choices, each of them once; what is learnt on the way shows which branches nobody need walk.

    A statement sees what is committed when it begins, its own transaction's writes, and, if it must wait for a lock, what
    is committed when it goes on. So two next steps can be swapped, and nobody can tell which came first, if

    - both are commits, or one only lets go of locks: it has written nothing, and who had to wait reads what it had read;
    - both are statements, and one has run beside the other's locks without a wait: neither sees the other's writes. What
      runs beside all the locks of a transaction would have run beside fewer;
    - both are statements, and one has no transaction id at its end: it has locked no row;
    - both are statements, each is a transaction of its own, and neither writes.

    Whoever passes over what is locked sees locks themselves; it swaps places only with what locks nothing. Everything else
    is tried both ways: each commit before and after each statement, and each wait for a lock. A step that was tried first
    sleeps beside the other's steps that it can be swapped with, until one comes that it cannot be swapped with.
    """

    passing: frozenset[int] = frozenset()  # those who pass over what is locked
    are_alike: bool = False  # both do the same, so that either may be called the first
    path: list[Node] = field(default_factory=list)
    steps: dict[tuple[int, Past], str] = field(default_factory=dict)
    lockless: set[tuple[int, Past, str]] = field(default_factory=set)
    light: set[tuple[int, Past, str]] = field(default_factory=set)
    beside: set[tuple[Past, Past, str]] = field(default_factory=set)
    writing: set[tuple[int, Past, str]] = field(default_factory=set)
    mirrored: list[Node] = field(default_factory=list)
    is_mirrored: bool = False

    def begin(self, turns: Sequence[Turn]) -> None:
        """Begin a run: both have come to their first step."""
        self.turns = turns
        self.committed, self.depth, self.last, self.told = "", 0, 0, ""
        self.pasts: list[Past] = [(), ()]
        self.waiting: dict[int, tuple[str, int]] = {}
        self._look()

    def choose(self) -> int:
        """Tell who goes on, where both may."""
        names = [turn.step for turn in self.turns]
        if "release" in names and not self.passing:
            return names.index("release")
        if self.depth == len(self.path):
            asleep = self._asleep(self._node([]))
            self.path.append(self._node([1 - self.last if self.last in asleep else self.last]))
        self.depth += 1
        return self.path[self.depth - 1].chosen

    def done(self, n: int) -> None:
        """Note that an operation has done its step, or waits for the other in the midst of it."""
        past, began, other = self.pasts[n], self.committed, 1 - n
        step, self.last = self.steps[n, past], n
        self.told += f"{n} {step}{' waits' if self.turns[n].is_waiting else ''}; "
        if self.turns[n].is_waiting:
            self.waiting[n] = began, len(self.pasts[other])
            return
        self.pasts[n] += ((began, began, None),)
        self.committed += str(n) if step == "commit" else ""
        if other in self.waiting and not self.turns[other].is_waiting:
            since, place = self.waiting.pop(other)
            self.pasts[other] += ((since, self.committed, place),)
        if step not in ("commit", "release"):
            self._learn(n, past, began)
        self._look()

    def mirror(self) -> None:
        """Have the second operation go first, all of it: a run that is kept until its place in the tree is reached."""
        self.path, self.mirrored = [Node(((), ()), "", [1])], self.path
        self.is_mirrored = True

    def turn(self) -> bool:
        """Choose otherwise at the last place where that may lead to something else; tell whether there is one."""
        if self.is_mirrored:
            self.path, self.mirrored, self.is_mirrored = self.mirrored, self.path[1:], False
        for n, node in enumerate(self.path):
            if node.chosen in self._asleep(node, self.path[:n]):
                del self.path[n + 1 :]
                break
        while self.path:
            node = self.path[-1]
            other = 1 - node.chosen
            if len(node.tried) == 2 or other in self._asleep(node, self.path[:-1]) or self._sleeps_on(node):
                self.path.pop()
                continue
            node.tried.append(other)
            if len(self.path) > 1:
                return True
            self.path += [] if self.are_alike else self.mirrored
        return False

    def _node(self, tried: list[int]) -> Node:
        return Node((self.pasts[0], self.pasts[1]), self.committed, tried)

    def _look(self) -> None:
        for n, turn in enumerate(self.turns):
            if turn.parked or turn.is_done:
                self.steps[n, self.pasts[n]] = "end" if turn.is_done else turn.step

    def _learn(self, n: int, past: Past, committed: str) -> None:
        """Keep what a statement that did not wait has shown."""
        turn, at, now = self.turns[n], len(past), (committed, committed, None)
        for k in range(at + 1):
            if k in turn.lockless and self.pasts[n][k] == now:
                self.lockless.add((n, past[:k], committed))
        if at in turn.writing:
            self.writing.add((n, past, committed))
        if at in turn.openings and (turn.opened != at or turn.step == "release"):
            self.light.add((n, past, committed))
        beside, their = self.turns[1 - n], self.pasts[1 - n]
        for k in range(len(their) if beside.opened is None else beside.opened, len(their)):
            if their[k] == now:
                self.beside.add((past, their[:k], committed) if n == 0 else (their[:k], past, committed))

    def _can_be_swapped(self, pasts: Sequence[Past], committed: str) -> bool:
        steps = [self.steps[n, past] for n, past in enumerate(pasts)]
        known = [(n, past, committed) for n, past in enumerate(pasts)]
        if "commit" in steps:
            return steps[0] == steps[1] or "release" in steps
        if self.passing:
            return any(n not in self.passing and known[n] in self.lockless for n in range(2))
        if any(each in self.lockless for each in known) or all(each in self.light for each in known):
            return True
        both_write = all(each in self.writing for each in known)  # events are numbered as they are written
        return not both_write and (pasts[0], pasts[1], committed) in self.beside

    def _asleep(self, node: Node, path: Sequence[Node] | None = None) -> set[int]:
        """Those whose next step here has been tried before, with nothing since that it could not be swapped with."""
        asleep: set[int] = set()
        for before, after in pairwise([*(self.path if path is None else path), node]):
            other = 1 - before.chosen
            stays = before.pasts[other] == after.pasts[other] and (other in asleep or other in before.tried)
            asleep = {other} if stays and self._can_be_swapped(before.pasts, before.committed) else set()
        return asleep

    def _sleeps_on(self, node: Node) -> bool:
        """Whether what was chosen could be swapped with all that the other has still to do."""
        pasts, other = [*node.pasts], 1 - node.chosen
        while (step := self.steps.get((other, pasts[other]))) != "end":
            if step is None or (step != "release" and not self._can_be_swapped(pasts, node.committed)):
                return False
            if step == "commit":
                return False
            pasts[other] += ((node.committed, node.committed, None),)
        return True
