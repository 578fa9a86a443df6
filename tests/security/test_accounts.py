"""What code in one member's job reaches of another's: nothing, by files, processes, Slurm, and what listens on loopback."""

import json
import textwrap
from pathlib import Path

import pytest
import requests

from tests.security.site import Person, Site

pytestmark = pytest.mark.hub

# In bob's kernel; `given` tells all that bob could have found out. Prints what each attempt came to.
TRY = """
import json, os, subprocess, urllib.request, urllib.error
from pathlib import Path
given = json.loads({given!r})

def read(path):
    try:
        return "OPEN " + Path(path).read_bytes()[:60].decode(errors="replace")
    except OSError as error:
        return type(error).__name__

def listed(path):
    try:
        return "OPEN " + " ".join(os.listdir(path))
    except OSError as error:
        return type(error).__name__

def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    refused = done.returncode or done.stderr  # scontrol refuses with a word and exit code 0
    return ("refused " if refused else "OPEN ") + done.stdout + done.stderr

def ask(url, token="", **headers):
    request = urllib.request.Request(url, headers={{**({{"Authorization": f"token {{token}}"}} if token else {{}}), **headers}})
    class Still(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args): return None
    try:
        with urllib.request.build_opener(Still, urllib.request.ProxyHandler({{}})).open(request, timeout=60) as answer:
            return f"OPEN {{answer.read()[:60]}}"
    except urllib.error.HTTPError as error:
        return str(error.code)

own = os.environ["JUPYTERHUB_API_TOKEN"]
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and os.stat(f"/proc/{{pid}}").st_uid != os.getuid()]
tried = {{f"read {{path}}": read(path) for path in given["files"]}}
tried |= {{f"list {{path}}": listed(path) for path in given["folders"]}}
tried |= {{f"environment of {{pid}}": read(f"/proc/{{pid}}/environ") for pid in others if os.path.exists(f"/proc/{{pid}}")}}
tried |= {{f"sudo to {{name}}": run("sudo", "-n", "-u", name, "id") for name in ("root", given["victim"])}}
tried["cancel"] = run("scancel", given["number"])
tried["script"] = run("scontrol", "write", "batch_script", given["number"], "-")
tried["as another"] = run("sbatch", f"--uid={{given['victim']}}", "--wrap", "id")
tried["signal"] = run("kill", "-9", *given["pids"])
for url in given["addresses"]:
    tried[f"{{url}} with nothing"] = ask(url)
    tried[f"{{url}} with our token"] = ask(url, own)
    tried[f"{{url}} in another name"] = ask(url, **{{"X-Forwarded-User": given["victim"], "Remote-User": given["victim"]}})
seen = "".join(read(f"/proc/{{pid}}/cmdline") for pid in os.listdir("/proc") if pid.isdigit())
seen += run("scontrol", "show", "job", "-dd")
print(json.dumps({{"tried": tried, "shown": seen}}))
"""

# A kernel takes code from whoever signs with its key; bob does not know it
FORGE = """
import json, uuid, zmq
from jupyter_client.session import Session
port = {port}
def answer(key):
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger, socket.rcvtimeo = 0, 2000
    socket.connect(f"tcp://127.0.0.1:{{port}}")
    session = Session(key=key)
    content = dict(code="forged = 1", silent=False, store_history=False, user_expressions={{}}, allow_stdin=False)
    session.send(socket, "execute_request", content)
    try:
        return str(socket.recv_multipart())
    except zmq.Again:
        return "no answer"
print([answer(key) for key in (b"", b"a guess")])
"""


def in_kernel(person: Person, code: str) -> str:
    with person.visitor.kernel() as kernel:
        return kernel.run(textwrap.dedent(code))


def test_a_job_reaches_nothing_of_another_account(people_site: Site) -> None:
    ann, bob = people_site.people["ann"], people_site.people["bob"]
    data, slurm = people_site.hub.folder.path, people_site.cluster.folder
    home, ports = Path("/home") / ann.name, people_site.hub.folder.ports()
    servers = [pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and owned_by(pid, ann.name)]
    given = {
        "victim": ann.name,
        "number": ann.known["job_number"],
        "pids": [pid.name for pid in servers],
        "files": [
            str(home / "secret.txt"),
            ann.known["connection"],
            *map(str, (data / "secrets").iterdir()),
            str(data / "hub.sqlite"),
            str(slurm / "munge" / "key"),
            *(str(file) for file in slurm.glob("spool/*/job*/slurm_script")),
        ],
        "folders": [str(home), str(data), *(str(data / name) for name in ("secrets", "jobs", "services")), str(slurm / "state")],
        "addresses": [
            f"{ann.known['address']}api/contents/secret.txt",
            f"{ann.known['address']}emkit/data/{ann.known['capability']}/secret.txt",
            f"http://127.0.0.1:{ports['proxy_api']}/api/routes",
            f"http://127.0.0.1:{ports['dashboards']}/services/dashboards/",
            f"http://127.0.0.1:{ports['hub']}/hub/api/users/{ann.name}",
        ],
    }
    assert servers
    told = json.loads(in_kernel(bob, TRY.format(given=json.dumps(given))))
    mine = [name for name in told["tried"] if "slurm_script" in name and told["tried"][name].startswith("OPEN")]
    opened = {name: what for name, what in told["tried"].items() if what.startswith("OPEN") and name not in mine}
    assert not opened
    assert len(mine) <= 1  # bob's own
    secrets = {ann.job_token, ann.token, people_site.people["chief"].job_token, *all_secrets(people_site)}
    assert not [secret for secret in secrets if secret in told["shown"]]
    assert in_kernel(ann, "print(open('secret.txt').read())").strip()


def owned_by(process: Path, name: str) -> bool:
    try:
        return process.owner() == name
    except (FileNotFoundError, KeyError):
        return False


def all_secrets(site: Site) -> set[str]:
    folder = site.hub.folder
    return {
        folder.owner_password,
        folder.workshop_password,
        folder.proxy_token,
        folder.secret_file("cookie-secret").read_text().strip(),
    }


def test_a_kernel_takes_no_code_from_another_account(people_site: Site) -> None:
    ann, bob = people_site.people["ann"], people_site.people["bob"]
    with ann.visitor.kernel(ann.known["kernel"]) as kernel:
        port = kernel.run("import json, ipykernel; print(json.load(open(ipykernel.get_connection_file()))['shell_port'])").strip()
        assert in_kernel(bob, FORGE.format(port=port)).strip() == "['no answer', 'no answer']"
        assert "NameError" in kernel.run("print(forged)")


def test_a_job_cannot_speak_for_anothers_job(people_site: Site) -> None:
    ann, bob = people_site.people["ann"], people_site.people["bob"]
    report = {"job": ann.known["job"], "port": 40000}
    headers = {"Authorization": f"token {bob.job_token}"}
    answer = requests.post(f"{people_site.hub.url}/hub/api/emkit/job", json=report, headers=headers, timeout=60)
    assert answer.status_code == 403
    assert ann.visitor.get(f"/user/{ann.name}/api/status").status_code == 200
