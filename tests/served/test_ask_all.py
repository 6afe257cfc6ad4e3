"""Many requests at once: what is read from each, and that the first error ends them all."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from soce.evaluate.served.client import Client
from soce.exceptions import EvaluationError


class Doubling(BaseHTTPRequestHandler):
    """Answers a number with twice as much, and refuses odd ones above a hundred."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        number = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["number"]
        self.server.asked.append(number)
        is_refused = number > 100 and number % 2
        content = json.dumps(
            {"error": {"message": "it is odd"}} if is_refused else {"twice": 2 * number}
        ).encode()
        self.send_response(400 if is_refused else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = (
        128  # of the five that it else has, the kernel resets those beyond when all ask at once
    )


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Doubling) as made:
        made.asked = []
        made.daemon_threads = True
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def client(server):
    made = Client(f"http://127.0.0.1:{server.server_port}")
    yield made
    made.close()


def bodies(*numbers):
    return [{"number": number} for number in numbers]


def test_answers_are_read_where_they_came_in_and_stand_in_the_order_of_what_was_asked(client):
    done = []
    found = client.ask_all(
        "/v1/x", bodies(*range(50)), done.append, read=lambda place, answer: (place, answer["twice"])
    )
    assert found == [(place, 2 * place) for place in range(50)]
    assert sum(done) == 50
    assert client.ask_all("/v1/x", bodies(3, 4)) == [{"twice": 6}, {"twice": 8}]
    assert client.ask_all("/v1/x", []) == []


def test_the_first_request_that_fails_ends_the_others(client, server):
    with pytest.raises(EvaluationError, match="`/v1/x` was refused with status 400: it is odd"):
        client.ask_all("/v1/x", bodies(101, *range(400)), concurrency=1)
    assert server.asked.count(101) == 1, "it is not asked again"
    assert len(server.asked) < 100


def test_an_answer_that_cannot_be_read_ends_the_others(client, server):
    def read(place, answer):
        if place == 2:
            raise EvaluationError("no")
        return answer

    with pytest.raises(EvaluationError, match="no"):
        client.ask_all("/v1/x", bodies(*range(400)), read=read, concurrency=1)
    assert len(server.asked) < 100
