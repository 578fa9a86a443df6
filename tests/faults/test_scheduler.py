"""Faults of the scheduler: it does not answer, it refuses, it is restarted, it takes a job back."""

import signal
import time

import pytest

from tests.faults.commands import QUERIES
from tests.faults.site import Broken, Site, check_clear

pytestmark = pytest.mark.hub


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_query(site: Site, how: str, campaign: bool) -> None:
    """Scheduler query fails for 30 s"""
    ann, bob = site.person(), site.person()
    before = ann.start()
    with site.faults.failing(*QUERIES) if how == "fails" else site.faults.holding(*QUERIES):
        asked, began = len(site.faults.calls("squeue")), time.monotonic()
        assert bob.press_start().status_code == 202
        # as many questions as need to fail for somebody to draw the wrong conclusion
        enough = 5 if how == "fails" else 1
        site.until(lambda: len(site.faults.calls("squeue")) >= asked + enough or ann.model() is None, "Slurm is asked", 60)
        if campaign:
            site.until(lambda: time.monotonic() > began + 30, "30 s of it", 60)
        ann.still_serves(before)
    ann.keeps(before)
    if not (last := bob.outcome()).get("ready"):
        raise Broken(f"{bob.name} gets no server: {last}")
    ann.is_not_stuck()
    bob.is_not_stuck()


def test_controller_down_at_stop(site: Site) -> None:
    """Scheduler down at stop"""
    ann = site.person()
    ann.start()
    site.cluster.end("slurmctld", signal.SIGTERM)  # by force it would forget what it had not yet written down
    ann.stop()
    site.cluster.start_controller()
    site.no_orphans()
    ann.is_not_stuck()


def test_controller_restarted(site: Site) -> None:
    """slurmctld restarted"""
    ann, bob = site.person(), site.person()
    before = ann.start()
    site.cluster.end("slurmctld", signal.SIGTERM)
    told = bob.refused()
    check_clear(told, "slurm")
    site.asked_again(2)
    site.cluster.start_controller()
    ann.keeps(before)
    bob.is_not_stuck()
    ann.is_not_stuck()


def test_munge_down(site: Site) -> None:
    """munged down"""
    ann, bob = site.person(), site.person()
    before = ann.start()
    site.cluster.end("munged")
    told = bob.refused()
    check_clear(told, "munge", "did not answer")  # by themselves Slurm's commands take a minute each to give up
    site.asked_again(1)
    site.cluster.start_munge()
    ann.keeps(before)
    bob.is_not_stuck()
    ann.is_not_stuck()


def test_refused(site: Site) -> None:
    """Submission refused"""
    ann = site.person()
    told = ann.refused(site.contender.refused)
    check_clear(told, "invalid partition specified: nowhere")
    assert site.jobs() == set()
    ann.is_not_stuck()  # the options that were refused are not repeated


def test_submission_answers_late(site: Site) -> None:
    """Submission answers after its job has reported"""
    ann = site.person()
    with site.faults.late("sbatch"):
        ann.press_start()
        site.until(lambda: f"POST /hub/api{site.contender.route} ({ann.name}@" in site.log(), "the job has reported")
    if not (last := ann.outcome()).get("ready"):
        raise Broken(f"{ann.name} gets no server: {last}")
    ann.is_not_stuck()


def test_job_dies(site: Site) -> None:
    """Job dies before its port"""
    ann = site.person()
    ann.on_start.write_text("die")
    told = ann.refused()
    check_clear(told, "no licence left")
    ann.on_start.unlink()
    ann.is_not_stuck()


def test_requeued(site: Site) -> None:
    """Job requeued while its server runs"""
    ann = site.person()
    before = ann.start()
    site.cluster.run("scontrol", "requeue", before.job)
    site.until(lambda: (seen := ann.seen()) is not None and seen.restarts == "1", "the server serves again")
    assert ann.found().job == before.job
    ann.is_not_stuck()


def test_requeued_while_starting(site: Site) -> None:
    """Job requeued before its server is up"""
    ann = site.person()
    ann.on_start.write_text("wait")
    ann.press_start()
    site.until(lambda: ann.state() == "RUNNING", "the job runs")
    site.cluster.run("scontrol", "requeue", ann.job())
    ann.on_start.unlink()
    assert ann.outcome().get("ready")
    assert ann.found().restarts == "1"
    ann.is_not_stuck()
