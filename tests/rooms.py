"""Which tests share a process when several processes run them: those of a room with a site of its own, else those of one file.

A site (a hub, a Slurm) is made once for its room, and its tests free it for each other. Rooms with a site of their own spend most
of their time waiting, so two of them beside each other take hardly longer than one; they come first, the longest before the others.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

WITH_A_SITE = ("faults", "slurm", "dashboards", "hub", "security", "overview")


def room(nodeid: str) -> str:
    """The room of a test, or its file where no site is shared; of a page of the documentation, the page.

    >>> room("tests/faults/test_nodes.py::test_node_killed"), room("tests/io/test_blocks.py::test_it"), room("README.md::line:1")
    ('faults', 'tests/io/test_blocks.py', 'README.md')
    """
    file = nodeid.partition("::")[0]
    top, _, rest = file.partition("/")
    name = rest.partition("/")[0]
    return name if top == "tests" and name in WITH_A_SITE else file


def longest_first(items: list[pytest.Item]) -> None:
    """Order tests for several processes, in place; within a room they stay as they were."""
    order = {name: place for place, name in enumerate(WITH_A_SITE)}
    items.sort(key=lambda item: order.get(room(item.nodeid), len(order)))


class Rooms(LoadScopeScheduling):
    """Gives each process a whole room, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return room(nodeid)
