#!/usr/bin/env python3
"""What a server with little memory holds, and whom that holds up.

128 names that nobody reads, each filled until the server takes no more, and
16,000 connections that send 64 KiB of a frame and then nothing; beside them a
name that reads, at 100,000 orders a second. Prints what the server's process has
resident at most, and how often the last sender was refused.

    cargo build --release && benches/memory_total.py target/release/tickwire
"""

import json, os, re, resource, socket, struct, subprocess, sys, threading, time, uuid

NAMES, HALVES, RATE, SECONDS = 128, 16_000, 100_000, 10
HALF = 64 * 1024


def message(kind, source, target, payload):
    body = json.dumps({
        "msg_id": str(uuid.uuid4()), "msg_type": kind, "source": source, "target": target,
        "timestamp": "2026-01-03T12:41:00.000Z", "payload": payload,
    }).encode()
    return struct.pack(">I", len(body)) + body


def order(target, bytes=0):
    return message("ingest_event", "load", target, {
        "run_id": "run-1", "event_type": "order", "event_utc": "2026-01-03T12:41:00Z",
        "received_utc": "2026-01-03T12:41:00Z",
        "payload_json": {"order_id": "o", "note": "x" * bytes},
    })


def hello(name, **options):
    return message("hello", name, None, {"protocol": 1, **options})


def connect(address, receive_buffer=None):
    peer = socket.socket()
    if receive_buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.connect(address)
    return peer


def send_some(peer, data):
    try:
        return peer.send(data)
    except (BlockingIOError, ConnectionError):
        return 0


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    environment = {**os.environ, "TICKWIRE_MEMORY_MAX": "256MiB"}
    server = subprocess.Popen([sys.argv[1], "serve", "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    host, port = server.stdout.readline().decode().split()[-1].rsplit(":", 1)
    address = (host, int(port))
    peak, over = 0, threading.Event()

    def watch():
        nonlocal peak
        while not over.is_set():
            status = open(f"/proc/{server.pid}/status").read()
            peak = max(peak, int(re.search(r"VmRSS:\s+(\d+)", status)[1]))
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()
    owners = []
    for number in range(NAMES):
        owner = connect(address, 4096)
        owner.sendall(hello(f"hog-{number}"))
        owners.append(owner)
    time.sleep(1)
    fillers = []
    for number in range(NAMES):
        filler = connect(address)
        filler.setblocking(False)
        fillers.append((filler, order(f"hog-{number}", 20_000)))
    # Until nothing more is taken for five seconds.
    begin, pending, highest, risen = time.time(), {}, 0, time.time()
    while (now := time.time()) < min(risen + 5, begin + 60):
        if peak > highest + 512:
            highest, risen = peak, now
        for filler, frame in fillers:
            for _ in range(20):
                rest = pending.get(filler) or frame
                rest = rest[send_some(filler, rest):]
                pending[filler] = rest
                if rest:
                    break
            try:
                filler.recv(1 << 20)
            except (BlockingIOError, ConnectionError):
                pass
    print(f"{NAMES} names are full: {peak // 1024} MiB resident", flush=True)
    half = struct.pack(">I", 4 * HALF) + b"{" * (HALF - 4)
    halves = []
    for _ in range(HALVES):
        peer = connect(address)
        peer.setblocking(False)
        send_some(peer, half)
        halves.append(peer)
    print(f"{HALVES} half frames are sent: {peak // 1024} MiB resident", flush=True)
    reader = connect(address)
    reader.sendall(hello("reads"))
    time.sleep(1)
    received = 0

    def read():
        nonlocal received
        while data := reader.recv(1 << 20):
            received += data.count(b'"ingest_event"')

    sender, refused, acked = connect(address), 0, 0
    sender.sendall(hello("load", register=False, acks="batch"))

    def answers():
        nonlocal refused, acked
        while data := sender.recv(1 << 20):
            refused += data.count(b"QUEUE_FULL")

    for work in (read, answers):
        threading.Thread(target=work, daemon=True).start()
    batch = b"".join(order("reads") for _ in range(RATE // 100))
    begin, sent = time.time(), 0
    while (now := time.time()) < begin + SECONDS:
        if sent < (now - begin) * RATE:
            sender.sendall(batch)
            sent += RATE // 100
        else:
            time.sleep(0.001)
    time.sleep(1)
    over.set()
    print(f"sent {sent} in {SECONDS} s, {received} were received, QUEUE_FULL {refused} times")
    print(f"at most {peak // 1024} MiB resident of memory_max = 256 MiB")
    server.terminate()
    server.wait()


main()
