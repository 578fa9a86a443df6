"""What another account of the same node tries with somebody's kernel: python intruder.py IP PORT FILE [PUBLIC KEY]

Asks the kernel at this address to write FILE, without a key, with a wrong one, or with the right public key but without the HMAC
key; prints what became of it as one word.
"""

import json
import sys
import uuid

import zmq
from zmq.utils.monitor import recv_monitor_message

PATIENCE_MS = 2000
FAILED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


def request(file: str) -> list[bytes]:
    """An execute_request as it goes over the wire, signed with an empty key."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": "x",
        "version": "5.3",
        "date": "",
    }
    content = {"code": f"open({file!r}, 'w')", "silent": False}
    return [b"<IDS|MSG>", b"", *(json.dumps(part).encode() for part in ({**header, "date": ""}, {}, {}, content))]


def attempt(ip: str, port: str, file: str, key: bytes | None) -> str:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        if key is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = key
        monitor = socket.get_monitor_socket(FAILED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        socket.connect(f"tcp://{ip}:{port}")
        shaken = monitor.poll(PATIENCE_MS) and recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        socket.send_multipart(request(file))
        answered = socket.poll(PATIENCE_MS)
        socket.disable_monitor()
        monitor.close(linger=0)
    return "answered" if answered else "ignored" if shaken else "refused"


if __name__ == "__main__":
    ip, port, file, *key = sys.argv[1:]
    print(attempt(ip, port, file, key[0].encode() if key else None))
