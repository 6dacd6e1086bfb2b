"""A server that is not Cellar's: it speaks the native protocol and says what a test wants it to.

    with FakeServer(lambda operation, body: (native.REPLY, {1: ["projects/p/instances/i/tables/t"]})) as fake:
        ...fake.port...

Without an answer function it takes connections and never says a word; an answer of None leaves a
request without one.
"""
import socket
import threading

import cellar_native as native

HELLO_REPLY = {1: 1, 2: "fake", 3: 0, 4: native.FRAME_BYTES_MAX, 5: 1 << 28, 6: 100}


class FakeServer:
    """Serves one connection after another until the context ends."""

    def __init__(self, answer=None):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.silent = []
        self.connection_count = 0

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.silent:
            client.close()

    def _run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connection_count += 1
            if self.answer is None:
                self.silent.append(client)
                continue
            with client:
                try:
                    self._serve(client)
                except ConnectionError:
                    pass

    def _serve(self, client):
        reader = native.FrameReader()
        client.recv(len(native.MAGIC), socket.MSG_WAITALL)
        data = client.recv(65536)
        while data:
            for number, operation, _, payload in reader.feed(data):
                kind, body = native.REPLY, HELLO_REPLY
                if operation != native.HELLO:
                    answer = self.answer(operation, native.body_decode(payload))
                    if answer is None:
                        continue
                    kind, body = answer
                client.sendall(native.frame_encode(number, operation, kind,
                                                   native.body_encode(body)))
            data = client.recv(65536)
