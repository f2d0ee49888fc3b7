#!/usr/bin/env python3
"""Asks a gateway of this host for its page and for trades, over HTTP and over WebSocket.

    tools/demo_client.py PORT

Waits until all three came; exit status 0 then. For tools/demo: standard library only.
"""

import base64
import http.client
import json
import os
import select
import socket
import sys

HOST = "127.0.0.1"


def until(condition):
    """Tries every tenth of a second; whoever started this limits the time."""
    while True:
        try:
            if (found := condition()) is not None:
                return found
        except (OSError, http.client.HTTPException):
            pass
        select.select([], [], [], 0.1)


def get(port, path):
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    return body if answer.status == 200 else None


def trades_over_http(port):
    body = get(port, "/v1/topics/trade_events/events?limit=10")
    return body and json.loads(body)["count"] or None


class WebSocket:
    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=60)
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET /v1/ws HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\n"
                             f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        if b" 101 " not in self.stream.readline():
            raise OSError("no upgrade")
        while self.stream.readline().strip():
            pass

    def send(self, message):
        """A text message of less than 126 bytes, masked with zeros."""
        text = json.dumps(message).encode()
        self.socket.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)

    def receive(self):
        """The next text message."""
        text = b""
        while True:
            first, size = self.exactly(2)
            if size >= 126:
                size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
            payload = self.exactly(size)
            if first & 0x0F in (0, 1):
                text += payload
                if first & 0x80:
                    return json.loads(text)
            elif first & 0x0F == 8:
                raise OSError(f"closed: {payload[2:]!r}")

    def exactly(self, size):
        data = self.stream.read(size)
        if len(data) != size:
            raise OSError("the connection ended")
        return data


def trades_over_websocket(port):
    web_socket = WebSocket(port)
    web_socket.send({"op": "subscribe", "id": 1, "topic": "trade_events", "start": "live"})
    while True:
        message = web_socket.receive()
        if message["type"] == "error":
            raise SystemExit(message["message"])
        if message["type"] == "events":
            return message["events"][0]


def main():
    port = int(sys.argv[1])
    until(lambda: get(port, "/"))
    print("the page answers")
    print(until(lambda: trades_over_http(port)), "trades over HTTP")
    print("a trade over WebSocket:", until(lambda: trades_over_websocket(port)))


if __name__ == "__main__":
    main()
