"""A hub that starts ends what a hub before it left behind, also where nobody has a server and nobody starts one.

JupyterHub has no moment of its own for that: a spawner is made when somebody asks for a server. So its own step of looking for
the servers in its database, once at its start, goes on with a look for the jobs that none of them owns.
"""

from functools import cache, wraps

from jupyterhub import orm
from jupyterhub.app import JupyterHub

from emkit_spawner.base import JobSpawner


@cache
def wake() -> None:
    """To be called as the hub loads its spawners, once for all of them. A hub with another spawner is left as it is."""
    before = JupyterHub.init_spawners

    @wraps(before)
    async def init_spawners(hub: JupyterHub) -> None:
        await before(hub)
        anybody = hub.db.query(orm.User).first()
        if anybody is not None and issubclass(hub.spawner_class, JobSpawner):
            hub.users[anybody].get_spawner("").keep_sweeping()

    JupyterHub.init_spawners = init_spawners
