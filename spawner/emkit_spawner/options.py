"""What a user may have: the profiles that are open to their groups, and within those what they ask for."""

from collections.abc import Collection, Mapping

from emkit_jobs.profiles import Profile, Request, RequestError, Resources, grant, offered


def granted(profiles: Mapping[str, Profile], groups: Collection[str], request: Request, floor: Resources) -> Resources:
    """What a job gets: the profile's own values, with what was asked for, and what both leave open from `floor`.

    RequestError when it asks for too much, or for anything where there is no profile.
    """
    if not profiles:
        if request.asked() or request.profile is not None:
            raise RequestError("This hub offers no choice of resources: send no options.")
        return floor
    mine = offered(profiles, groups)
    if not mine:
        raise RequestError("None of this hub's profiles is open to your groups. Ask the administrator to add you to one.")
    return floor.model_copy(update=grant(mine, request).model_dump(exclude_none=True, exclude_defaults=True))
