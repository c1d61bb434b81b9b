"""A tree of key prefixes with keys and bytes below each, in bounded memory. Pure.

`user:1:name` with the separator `:` and depth 2 counts at `user:` and at `user:1:`; what stands behind the
last separator is a name, not a prefix. When there are more nodes than `most`, the smallest leaves are folded
into their parents: the parent's sums stay exact, only the detail is gone. A prefix that comes back after it
was folded counts anew, so that its sums are then a lower bound; `folded` says how large the error can be.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """keys, and their size in bytes, of all below; children: by the next part of the name, without its
    separator.
    """

    keys: int = 0
    size: int = 0
    children: "dict[bytes, Node]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One prefix of the finished tree. prefix: from the start of the key, the separator included."""

    prefix: bytes
    depth: int
    keys: int
    size: int


class PrefixTree:
    """Counts keys as they come."""

    def __init__(self, separator: bytes = b":", depth: int = 3, most: int = 100_000) -> None:
        self.separator = separator
        self.depth = depth
        self.most = most
        self.root = Node()
        self.nodes = 0
        self.folded = 0  # the most bytes that a single folded leaf had

    def add(self, key: bytes, size: int) -> None:
        node = self.root
        node.keys += 1
        node.size += size
        for part in key.split(self.separator, self.depth)[:-1]:
            child = node.children.get(part)
            if child is None:
                child = node.children[part] = Node()
                self.nodes += 1
            child.keys += 1
            child.size += size
            node = child
        if self.nodes > self.most:
            self._fold()

    def _fold(self) -> None:
        """Drops the smaller half of the leaves."""
        leaves = [
            (child.size, child.keys, node, part)
            for node in self._all(self.root)
            for part, child in node.children.items()
            if not child.children
        ]
        leaves.sort(key=lambda leaf: leaf[:2])
        for size, _, node, part in leaves[: (len(leaves) + 1) // 2]:
            del node.children[part]
            self.folded = max(self.folded, size)
            self.nodes -= 1

    def _all(self, node: Node) -> Iterator[Node]:
        waiting = [node]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += one.children.values()

    def rows(self, top: int) -> Iterator[Row]:
        """The prefixes, each before those below it: of each the `top` largest by bytes, and below the first
        level only those with a hundredth of all bytes or more. top 0: all.
        """
        yield from self._rows(self.root, b"", 1, top)

    def _rows(self, node: Node, before: bytes, depth: int, top: int) -> Iterator[Row]:
        ordered = sorted(node.children.items(), key=lambda item: (-item[1].size, -item[1].keys, item[0]))
        for part, child in ordered[: top or None]:
            if top and depth > 1 and child.size * 100 < self.root.size:
                return
            prefix = before + part + self.separator
            yield Row(prefix, depth, child.keys, child.size)
            yield from self._rows(child, prefix, depth + 1, top)
