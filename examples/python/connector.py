#!/usr/bin/env python3
"""A tickwire connector: says hello, sends one order, prints the answer.

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
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, msg):
        frame = json.dumps(msg).encode()
        self.socket.sendall(struct.pack(">I", len(frame)) + frame)
        return msg["msg_id"]

    def receive(self):
        """The next message, or None when the server has closed."""
        return self.incoming.get()

    def answer_to(self, msg_id):
        """The welcome, ack or error about a message; prints what else comes."""
        while (msg := self.receive()) is not None:
            payload = msg["payload"]
            about = {
                "welcome": lambda: payload["hello_msg_id"],
                "ack": lambda: payload["acknowledged_msg_id"],
                "error": lambda: payload.get("details", {}).get("msg_id"),
            }.get(msg["msg_type"], lambda: None)()
            if about == msg_id:
                return msg
            print("received", json.dumps(msg))
        sys.exit("the server closed the connection")

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
    hello = connection.send(message("hello", None, {"protocol": 1}))
    welcome = connection.answer_to(hello)
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
    if answer["msg_type"] == "error":
        payload = answer["payload"]
        print(f"refused {order['msg_id']}: {payload['code']}: {payload['message']}")
        return 1
    print("ack", answer["payload"]["acknowledged_msg_id"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
