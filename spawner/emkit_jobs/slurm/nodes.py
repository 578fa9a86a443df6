"""What sinfo tells of the nodes: what is free in each partition."""

import re
import time
from collections import defaultdict

from emkit_jobs.scheduler import Free, Room
from emkit_jobs.slurm.commands import Commands, span_s

_COLUMNS = (
    "Partition", "Available", "StateComplete", "NodeList", "CPUsState", "Memory", "AllocMem", "Gres", "GresUsed", "DefaultTime",
    "Time",
)  # fmt: skip
_OPEN = re.compile(r"(idle|mixed|allocated|completing)(\+(cloud|powered_down|powering_up|planned|completing|power_up))*", re.I)
_GPUS = re.compile(r"(?:^|,)gpu(?::[^:(,]+)?:(\d+)")


async def ask(commands: Commands) -> dict[str, Free]:
    told = await commands.run("sinfo", "--noheader", "--all", "--Node", f"--Format={','.join(f'{name}:|' for name in _COLUMNS)}")
    return read(told, time.time())


def read(told: str, asked_at: float) -> dict[str, Free]:
    """`told`: one line for each node in each partition. A node that is down, drained or reserved counts for nothing."""
    lines: defaultdict[str, list[list[str]]] = defaultdict(list)
    for line in told.splitlines():
        name, *rest = line.split("|")
        lines[name].append(rest)
    return {name.rstrip("*"): _sum(name, nodes, asked_at) for name, nodes in lines.items()}


def _sum(name: str, nodes: list[list[str]], asked_at: float) -> Free:
    open_nodes = [node for node in nodes if node[0] == "up" and _OPEN.fullmatch(node[1])]
    rooms, whole = [], []
    for _, state, node, cpus, memory, used, gres, gres_used, *_ in open_nodes:
        _, idle, _, total = (int(number) for number in cpus.split("/"))
        rooms.append(Room(node, idle, int(memory) - int(used), gpus(gres) - gpus(gres_used)))
        whole.append((Room(node, total, int(memory), gpus(gres)), state))
    return Free(
        partition=name.rstrip("*"),
        nodes=sum(state.lower().startswith("idle") for _, state in whole),
        nodes_up=len(whole),
        cpus=sum(room.cpus for room in rooms),
        cpus_up=sum(node.cpus for node, _ in whole),
        gpus=sum(room.gpus for room in rooms),
        gpus_up=sum(node.gpus for node, _ in whole),
        memory_mb=max((room.memory_mb for room in rooms if room.cpus), default=0),
        memory_up_mb=max((node.memory_mb for node, _ in whole), default=0),
        asked_at=asked_at,
        runtime_s=next((span_s(text) for text in nodes[0][8:10] if text != "n/a"), None),
        longest_s=span_s(nodes[0][9]),
        default=name.endswith("*"),
        rooms=tuple(room for room in rooms if room.cpus),
    )


def gpus(gres: str) -> int:
    """How many GPUs a Gres text names.

    >>> gpus("gpu:a100:4(S:0-1),shard:8"), gpus("gpu:2(IDX:0,1)"), gpus("(null)")
    (4, 2, 0)
    """
    return sum(int(count) for count in _GPUS.findall(gres))
