#!/usr/bin/env python3
"""A tickwire connector: says hello, sends one order, prints the answer. Meanwhile it
prints what others send, and settles it where its name is durable.

    tickwire serve
    tickwire listen api-gateway
    python3 examples/python/connector.py 127.0.0.1:7411 [TARGET]

It needs nothing but Python 3 and docs/protocol.md. It exits 0 if the order was
acknowledged and 1 if it was refused.
"""

import json
import queue
import socket
import struct
import sys
import threading
import uuid
from datetime import datetime, timezone

NAME = "quantower-connector"


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(msg_type, target, payload):
    return {
        "msg_id": str(uuid.uuid4()),
        "msg_type": msg_type,
        "timestamp": now(),
        "source": NAME,
        "target": target,
        "payload": payload,
    }


class Connection:
    """Frames out, frames in.

    The reading has a thread of its own: a client that writes without reading
    lets its answers pile up until the server stops reading from it.
    """

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming = queue.Queue()
        self.server = None  # the name under which the server answers
        self.durable = []  # names of ours whose messages we have to settle
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, msg):
        frame = json.dumps(msg).encode()
        self.socket.sendall(struct.pack(">I", len(frame)) + frame)
        return msg["msg_id"]

    def receive(self):
        """The next message, or None when the server has closed."""
        return self.incoming.get()

    def settle(self, msg):
        """Says that the work of a message is done: it isn't delivered again.

        Where a name is durable (`durable` in the welcome), what is addressed to
        it is delivered until it is settled. Broadcasts and acks are not kept.
        """
        if msg.get("target") is None or msg["msg_type"] == "ack":
            return
        ack = message("ack", msg["source"], {
            "acknowledged_msg_id": msg["msg_id"],
            "timestamp": now(),
        })
        self.send({**ack, "source": msg["target"]})

    def hello(self):
        """Says hello. The welcome comes once the server has read all before it."""
        welcome = self.answer_to(self.send(message("hello", None, {"protocol": 1})))
        if welcome["msg_type"] == "welcome":
            self.server = welcome["payload"]["server"]["name"]
            self.durable = welcome["payload"].get("durable", [])
        return welcome

    def answer_to(self, msg_id):
        """The welcome, ack or error about a message; processes what else comes."""
        while (msg := self.receive()) is not None:
            payload = msg["payload"]
            about = {
                "welcome": lambda: payload["hello_msg_id"],
                "ack": lambda: payload["acknowledged_msg_id"],
                "error": lambda: payload.get("details", {}).get("msg_id"),
            }.get(msg["msg_type"], lambda: None)()
            # A receiver may acknowledge it, too, when it has done with it.
            if about == msg_id and self.server in (None, msg["source"]):
                return msg
            self.process(msg)
        sys.exit("the server closed the connection")

    def process(self, msg):
        """The work of a message that somebody sent, and then its settling."""
        print("received", json.dumps(msg))
        if msg.get("target") in self.durable:
            self.settle(msg)

    def _read(self):
        try:
            with self.socket.makefile("rb") as stream:
                while len(prefix := stream.read(4)) == 4:
                    (length,) = struct.unpack(">I", prefix)
                    frame = stream.read(length)
                    if len(frame) < length:
                        break
                    self.incoming.put(json.loads(frame))
        finally:
            self.incoming.put(None)


def main():
    if len(sys.argv) not in (2, 3) or ":" not in sys.argv[1]:
        sys.exit(f"usage: {sys.argv[0]} HOST:PORT [TARGET]")
    host, port = sys.argv[1].rsplit(":", 1)
    target = sys.argv[2] if len(sys.argv) == 3 else "api-gateway"
    try:
        connection = Connection(host, int(port))
    except (OSError, ValueError) as error:
        sys.exit(f"can't connect to {sys.argv[1]}: {error}")

    # The name is ours from here on; an older connection of ours is closed.
    welcome = connection.hello()
    if welcome["msg_type"] == "error":
        sys.exit(f"refused: {welcome['payload']['message']}")
    print("connected as", ", ".join(welcome["payload"]["names"]))

    order = message("ingest_event", target, {
        "run_id": "run-123",
        "event_type": "order",
        "event_utc": now(),
        "received_utc": now(),
        "payload_json": {
            "order_id": "ord-456",
            "symbol": "BTCUSDT",
            "side": "BUY",
            "order_type": "LIMIT",
            "quantity": 0.1,
            "price": 45000.0,
        },
    })
    answer = connection.answer_to(connection.send(order))
    if connection.durable:
        connection.hello()  # or what was settled last might not arrive
    if answer["msg_type"] == "error":
        payload = answer["payload"]
        print(f"refused {order['msg_id']}: {payload['code']}: {payload['message']}")
        return 1
    print("ack", answer["payload"]["acknowledged_msg_id"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
