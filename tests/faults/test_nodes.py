"""Faults of a node: it is gone, with everything that ran there."""

import pytest

from tests.faults.site import Site

pytestmark = pytest.mark.hub


def test_node_killed(site: Site) -> None:
    """A node killed"""
    people = [site.person() for _ in range(3)]
    before = {person: person.start() for person in people}
    lost = site.cluster.run("squeue", "--noheader", f"--jobs={before[people[0]].job}", "--format=%B").strip()
    gone = [person for person in people if on(site, before[person].job) == lost]
    site.cluster.kill_node(lost)
    site.until(lambda: all(on(site, before[person].job) != lost for person in gone), "Slurm takes the jobs back", 120)
    for person in people:
        if person not in gone:
            person.keeps(before[person])
    site.no_orphans()
    site.cluster.start_node(lost)
    for person in people:
        person.is_not_stuck()


def on(site: Site, job: str) -> str:
    return site.cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%B").strip()
