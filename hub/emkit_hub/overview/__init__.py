"""The first page after login: my sessions, jobs and runs, the state of the system, announcements, my efficiency.

**For administrators.** Who may post an announcement, and who sees everybody's sessions: whoever holds the scope `admin-ui`.
Nobody else's page holds anything of another user.

How it hangs together::

    handlers   the pages and the JSON            told           what the hub tells: records, read once a tick for everybody
    visit      who is it, what may they          watch          the one question to the hub, and the age of its answer
    view       what this one visitor sees        announcements  what admins posted, in one file
    wording    numbers for people                runs           what users' own servers posted, one file each
    app        routes                            storage        how full the file systems are
"""
