"""Dashboards for workshop guests: the site's notebooks as pages, each guest with a kernel of their own, behind the hub's login.

**For administrators.** A dashboard is a notebook in one of the folders of the site settings (`[dashboards] folders`) whose
metadata say `"emkit": {"dashboard": true, "title": …, "summary": …, "picture": …, "minutes": …}`; drop it there and it is in
the gallery at once. The folders belong to the site: whoever can write there runs code for every guest, so only
administrators should. A guest sees outputs and widgets, never code, files, a terminal or another guest's kernel.

How it hangs together::

    guard      who is it, may they, is the kernel theirs        gallery    the allowlist of notebooks
    channels   the websocket, frames checked                    places     who holds what, who waits
    handlers   the pages                                        pool       warm kernels, the cap
    app        routes and Voila                                 rendering  one kernel, one run, one page
    extensions Jupyter server extensions, guarded               kernels    forked kernels and their folders
    warden     what is given back, and why                      forkserver, confinement   inside the kernels' process
"""
