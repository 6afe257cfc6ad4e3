"""The server in front of an engine: who may ask what, who must wait, and what happens when the engine dies."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from soce import Recipe
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.transformers import engine as transformers_engine
from soce.evaluate.served import holder, passing
from soce.evaluate.served.client import Client
from soce.evaluate.served.model import ServedModel
from soce.evaluate.served.outline import ServedOutline
from soce.evaluate.served.server import SoupServer
from soce.evaluate.served.state import ServedSoup
from soce.exceptions import EngineLostError, EvaluationError

Clients: TypeAlias = Callable[..., Client]
BODY = {"prompt": "abc", "temperature": 0, "max_tokens": 6}


@pytest.fixture
def host(served: ServedModel) -> str:
    return served.base_url.removeprefix("http://").removesuffix("/v1")


@pytest.fixture
def clients(served: ServedModel, host: str) -> Iterator[Clients]:
    with ExitStack() as opened:

        def client(address: str | None = None, token: str | None = None) -> Client:
            return opened.enter_context(Client(address or f"http://{host}", token=token or served.token))

        yield client


@pytest.fixture
def pure(served: ServedModel, ingredients: list[str]) -> Recipe:
    recipe = Recipe.of({ingredients[0]: 1})
    served.set(recipe)
    return recipe


def exchange(
    host: str, method: str, path: str, token: str | None, body: object = None
) -> tuple[int, Any, str | None]:
    """Return status, JSON and recipe of a request."""
    connection = http.client.HTTPConnection(host)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    return response.status, found, response.headers.get("X-Soce-Recipe")


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- who may ask what


def test_all_but_the_health_needs_the_token(
    clients: Clients, host: str, served: ServedModel, pure: Recipe
) -> None:
    assert exchange(host, "GET", "/health", None)[:2] == (200, {"state": "ready"})
    for method, path in (("GET", "/recipe"), ("POST", "/recipe"), ("POST", "/holder"), ("GET", "/v1/models")):
        for token in (None, "", "wrong", served.token[:-1], served.token + "x", "ü"):
            status, answer, _ = exchange(host, method, path, token, None if method == "GET" else {})
            assert status == 401
            assert "token is" in answer["error"]["message"]
    with pytest.raises(EvaluationError, match="token is wrong"):
        clients(token="wrong").get("/recipe")


def test_a_stranger_cannot_fill_the_memory(host: str, served: ServedModel, pure: Recipe) -> None:
    large = json.dumps({**BODY, "stop": ["x" * (2 << 20)]}).encode()
    for token, expected in (("wrong", 413), (served.token, 200)):
        connection = http.client.HTTPConnection(host)
        connection.putrequest("POST", "/v1/completions")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Length", str(len(large)))
        connection.endheaders(None if expected == 413 else large)  # it is answered before it sends the body
        assert connection.getresponse().status == expected
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/recipes", "/pause", "/collective_rpc", "/v1", "/v1/", "/metrics", "/docs", "/openapi.json"),
        *("/v1/../recipe", "/v1/%2e%2e/recipe", "/v1//models", "/v1/load_lora_adapter"),
        *("/v1/responses", "/v1/responses/a/cancel", "/v1/completions/render"),
        *("/v1/update_weights", "/V1/models", "http://elsewhere/v1/models"),
    ],
)
def test_nothing_else_of_the_engine_is_reached(
    host: str, served: ServedModel, pure: Recipe, path: str
) -> None:
    for method in ("GET", "POST"):
        status, answer, _ = exchange(host, method, path, served.token, None if method == "GET" else {})
        assert (status, answer["error"]["code"]) == (404, 404)
        assert "no route" in answer["error"]["message"]


def test_its_token_is_in_no_identity_and_no_description(served: ServedModel, pure: Recipe) -> None:
    told = json.dumps(
        [served.client.get("/recipe"), dict(served.identity), repr(served), repr(served.client)]
    )
    assert served.token not in told
    assert served.environment == {"OPENAI_BASE_URL": served.base_url, "OPENAI_API_KEY": served.token}


def test_the_socket_answers_as_the_port_does(
    clients: Clients, served: ServedModel, pure: Recipe, host: str
) -> None:
    assert served.socket is not None
    assert Path(served.socket).parent.stat().st_mode & 0o777 == 0o700
    texts = [one.post("/v1/completions", BODY)["choices"] for one in (clients(served.socket), clients())]
    assert texts[0] == texts[1]


HOSTILE = [
    b"\0" * 64,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"BREW /v1/completions HTTP/1.1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 1e9\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
]


def raw(host: str, data: bytes) -> bytes:
    """Return what comes back for these bytes."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), timeout=10) as one:
        try:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: one.recv(65_536), b""))
        except ConnectionError:
            return b""


def test_bytes_that_are_no_request_harm_nobody(host: str, served: ServedModel, pure: Recipe) -> None:
    for data in HOSTILE[:-1]:
        answer = raw(host, data)
        assert b" 200 " not in answer.partition(b"\r\n")[0], data[:80]
    draw = random.Random(0)
    good = b"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer %b\r\nContent-Length: 60\r\n\r\n%b"
    good %= served.token.encode(), json.dumps(BODY).encode()
    for _ in range(150):
        broken = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        raw(host, bytes(broken[: draw.randint(1, len(broken))]))
    assert served.client.post("/v1/completions", BODY)["choices"][0]["finish_reason"] == "length"
    wait_until(lambda: served._server.service.soup._running == 0)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"NaN", b"\xff", b"[" * 100_000, b'"a"', b"{}", b"1"),
        b'{"id": "a", "host": "b", "pid": 1e400}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/recipe", "/holder"])
def test_bodies_that_make_no_sense_are_refused(
    host: str, served: ServedModel, pure: Recipe, path: str, body: bytes
) -> None:
    connection = http.client.HTTPConnection(host)
    connection.request("POST", path, body, {"Authorization": f"Bearer {served.token}"})
    response = connection.getresponse()
    assert (response.status, bool(json.loads(response.read())["error"]["message"])) == (400, True)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200, "the connection is still good"
    connection.close()


# ---- recipes


def test_people_give_weights_by_name_and_numbers_are_exact(
    clients: Clients, served: ServedModel, ingredients: list[str]
) -> None:
    first, second, third = ingredients
    client = clients()
    hold = served._hold.id
    for weights, parts in (
        ({first: "0.7", second: "3/10"}, (7, 3)),
        ({first: 1, third: 2}, (1, 2)),
    ):
        told = client.post("/recipe", {"weights": weights, "holder": hold})
        found = [one["weight"] for one in told["recipe"]["ingredients"]]
        expected = Recipe.of(weights)
        assert expected.parts == parts
        assert told["id"] == expected.id
        assert found == [str(one.weight) for one in expected.ingredients]
    body = b'{"weights": {"%b": 0.1, "%b": 0.2}, "holder": "%b"}' % (
        first.encode(),
        second.encode(),
        hold.encode(),
    )
    connection = http.client.HTTPConnection(served.base_url.removeprefix("http://").removesuffix("/v1"))
    connection.request("POST", "/recipe", body, {"Authorization": f"Bearer {served.token}"})
    told = json.loads(connection.getresponse().read())
    connection.close()
    assert told["id"] == Recipe.of({first: 1, second: 2}).id, "0.1 is a tenth"
    for asked, message in (
        ({"weights": {"nobody": 1}}, "no ingredient `nobody`"),
        ({"weights": {first: -1}}, "negative"),
        ({"weights": {first: True}}, "no number"),
        ({"weights": {first: "x"}}, "x"),
        ({"weights": {}}, "at least one"),
        ({"weights": 3}, "maps names"),
        ({"recipe": 3}, "not a recipe"),
        ({"weights": {first: 1}, "extra": 1}, "unknown key `extra`"),
        ({}, "either"),
    ):
        with pytest.raises(Exception, match=message):
            client.post("/recipe", {**asked, "holder": hold})
    assert client.get("/recipe")["id"] == told["id"]


def test_every_answer_is_of_the_recipe_that_it_names(
    host: str, served: ServedModel, ingredients: list[str]
) -> None:
    recipes = [Recipe.of({path: 1}) for path in ingredients[:2]]
    texts = {}
    for recipe in recipes:
        served.set(recipe)
        texts[recipe.id] = served.client.post("/v1/completions", BODY)["choices"][0]["text"]
    assert len(set(texts.values())) == 2
    done = threading.Event()
    found: Counter[str] = Counter()

    def ask_on() -> None:
        while not done.is_set():
            status, answer, recipe = exchange(host, "POST", "/v1/completions", served.token, BODY)
            assert (status, answer["choices"][0]["text"]) == (200, texts[str(recipe)])
            found[str(recipe)] += 1

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask_on) for _ in range(4)]
        for i in range(12):
            served.set(recipes[i % 2])
            before = found.total()
            wait_until(lambda: found.total() > before)  # noqa: B023 - called at once
        done.set()
        for one in asking:
            one.result()
    assert set(found) == set(texts)


def test_an_answer_of_another_recipe_is_refused(
    clients: Clients, served: ServedModel, ingredients: list[str], pure: Recipe
) -> None:
    clients().post("/recipe", {"weights": {ingredients[1]: 1}, "holder": served._hold.id})
    with pytest.raises(EvaluationError, match="was answered by recipe"):
        served.client.post("/v1/completions", BODY)
    with pytest.raises(EvaluationError, match="was answered by recipe"):
        served.client.ask_all("/v1/completions", [BODY] * 20)


def test_a_soup_that_was_another_in_between_is_told(
    served: ServedModel, ingredients: list[str], pure: Recipe
) -> None:
    served.look()
    for path in ingredients[1::-1]:
        served.client.post("/recipe", {"weights": {path: 1}, "holder": served._hold.id})
    assert served.client.get("/recipe")["id"] == pure.id
    with pytest.raises(EvaluationError, match=f"held another recipe than `{pure.id}` in between"):
        served.look()
    served.set(pure)
    served.look()


def test_a_recipe_that_waited_for_another_is_looked_at_again(
    host: str,
    clients: Clients,
    served: ServedModel,
    ingredients: list[str],
    pure: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = served._server.service
    check, become = service.holders.check, service.soup.become
    checked: list[object] = []
    done: list[object] = []

    def noted(*words: Any, **named: Any) -> None:
        try:
            become(*words, **named)
        finally:
            done.append(words)

    monkeypatch.setattr(service.holders, "check", lambda given: checked.append(check(given)))
    monkeypatch.setattr(service.soup, "become", noted)
    asked = {"weights": {ingredients[1]: 1}}
    other = holder.Hold(clients())
    with ThreadPoolExecutor(1) as pool, service.soup._turn:  # another change runs
        late = pool.submit(clients().post, "/recipe", {**asked, "holder": served._hold.id})
        wait_until(lambda: len(checked) == 1)
        served._hold.close()
        other.take()
    with pytest.raises(EvaluationError, match="gives this server recipes"):
        late.result()
    other.close()
    body = json.dumps(asked).encode()
    name, _, port = host.partition(":")
    with service.soup._turn, socket.create_connection((name, int(port))) as one:
        one.sendall(
            b"POST /recipe HTTP/1.1\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
            % (served.token.encode(), len(body), body)
        )
        wait_until(lambda: len(checked) == 2)
        one.close()
    wait_until(lambda: len(done) == 2)
    assert clients().get("/recipe")["id"] == pure.id
    served._hold = holder.Hold(served.client)


def test_the_second_search_is_told_who_came_first(
    served: ServedModel, ingredients: list[str], pure: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = ServedModel.connect(served.base_url, served.token, ingredients[:2])
    with pytest.raises(EvaluationError, match=f"process {os.getpid()} on `.*` gives .* since 20") as caught:
        second.set(pure)
    assert "server of your own" in str(caught.value)
    with pytest.raises(EvaluationError, match="gives this server recipes"):  # somebody by hand
        second.client.post("/recipe", {"weights": {ingredients[0]: 1}})
    assert second.client.get("/recipe")["holder"]["pid"] == os.getpid()
    assert served._hold.id not in json.dumps(second.client.get("/recipe"))
    served._hold.close()
    second.set(pure)
    with pytest.raises(EvaluationError, match="gives this server recipes"):
        served.set(pure)
    second._hold._done.set()  # it is stopped, and beats no more
    second._hold._thread.join()
    monkeypatch.setattr(holder, "HOLD_SECONDS", 0.0)
    served._hold = holder.Hold(served.client)
    served.set(pure)
    second.client.close()


def test_a_server_of_other_soups_is_refused(
    served: ServedModel, ingredients: list[str], tmp_path: Path
) -> None:
    from tests.tiny_models import save_models

    from soce import MergeOptions

    with pytest.raises(EvaluationError, match="does not have this ingredient"):
        ServedModel.connect(served.base_url, served.token, save_models(tmp_path, 1))
    with pytest.raises(EvaluationError, match="serves other soups: its `published_dtype` is"):
        ServedModel.connect(served.base_url, served.token, ingredients, merge=MergeOptions(dtype="bf16"))
    with pytest.raises(EvaluationError, match="did not answer"):
        ServedModel.connect("http://127.0.0.1:1", served.token, ingredients)
    for address in ("ftp://127.0.0.1", "http://", "http://a:b", "127.0.0.1:8000"):
        with pytest.raises(EvaluationError, match="no address of a server"):
            ServedModel.connect(address, served.token, ingredients)


def test_a_port_in_use_is_told_before_anything_starts(
    served: ServedModel, ingredients: list[str], host: str
) -> None:
    outline = ServedOutline(ingredients, "transformers")
    name, _, port = host.partition(":")
    with pytest.raises(EvaluationError, match=f"port {port} of `{name}` is in use"):
        SoupServer(outline, address=(name, int(port)))
    with pytest.raises(EvaluationError, match="cannot listen on port 70000"):
        SoupServer(outline, address=(name, 70_000))
    with pytest.raises(EvaluationError, match=r"cannot listen on port 0 of `192\.0\.2\.1`"):
        SoupServer(outline, address=("192.0.2.1", 0))
    outline.close()


def test_the_first_error_ends_all_other_requests(served: ServedModel, pure: Recipe) -> None:
    bodies: list[object] = [{**BODY, "prompt": f"abc {i}"} for i in range(300)]
    bodies[7] = {**BODY, "n": 3}
    counted: list[int] = []
    with pytest.raises(EvaluationError, match="`n` = `3`"):
        served.client.ask_all("/v1/completions", bodies, counted.append, concurrency=8)
    assert sum(counted) < 250

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        served.client.ask_all("/v1/completions", [BODY] * 50, stop, concurrency=8)
    found = served.client.ask_all("/v1/completions", [BODY] * 9, counted.append)
    assert len({one["choices"][0]["text"] for one in found}) == 1
    assert served.client.ask_all("/v1/completions", []) == []


def test_a_server_is_its_first_soup_before_anybody_can_give_it_another(pure: Recipe) -> None:
    seen: list[str] = []

    class Engine:
        """Notes what others see when it becomes a soup."""

        def start(self) -> None: ...

        def open(self, ingredients: object) -> None: ...

        def check(self) -> None: ...

        def become(self, recipe: Recipe) -> None:
            seen.append(soup.state)

    soup = ServedSoup(Engine())
    soup.start([], recipe=pure)
    assert (seen, soup.state, soup.recipe) == (["starting"], "ready", pure)


# ---- an engine that stops


def processes_below(process: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *processes_below(child)]
    return found


@pytest.fixture
def mortal(ingredients: list[str]) -> Iterator[ServedModel]:
    options = EngineOptions(arguments=("--device", "cpu"), start_seconds=200)
    model = ServedModel.start(ingredients, "transformers", options)
    yield model
    model.close()


def test_an_engine_that_dies_fails_its_requests_and_leaves_nothing(
    mortal: ServedModel, ingredients: list[str]
) -> None:
    mortal.set(Recipe.of(ingredients))
    server = mortal._server
    watchdog = server.service.engine._process._process.pid
    (engine,) = processes_below(watchdog)
    folders = [server.service.engine._process.folder, Path(server.socket).parent]

    os.kill(engine, signal.SIGSTOP)
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(mortal.client.post, "/v1/completions", BODY) for _ in range(4)]
        wait_until(lambda: server.service.soup._running == 4)
        os.kill(engine, signal.SIGKILL)
        for one in asked:
            with pytest.raises(EngineLostError, match="SIGKILL"):
                one.result()
    told = mortal.client.get("/recipe")
    assert (told["state"], told["id"]) == ("lost", None)
    assert "SIGKILL" in told["reason"]
    for refused in (
        lambda: mortal.client.post("/v1/completions", BODY),
        lambda: mortal.client.get("/v1/models"),
        lambda: mortal.set(Recipe.of(ingredients)),
        lambda: ServedModel.connect(mortal.base_url, mortal.token, ingredients),
    ):
        with pytest.raises(EngineLostError, match="SIGKILL"):
            refused()
    mortal.close()
    assert not Path(f"/proc/{watchdog}").exists()
    assert not Path(f"/proc/{engine}").exists()
    assert not any(folder.exists() for folder in folders)
    mortal.close()


def test_an_engine_that_hangs_is_told_to_those_who_wait(
    mortal: ServedModel, ingredients: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "_WATCH_SECONDS", 0.2)
    monkeypatch.setattr(transformers_engine, "_HEALTH_SECONDS", 2)
    monkeypatch.setattr(transformers_engine, "_ENDING_SECONDS", 0.1)
    recipe = Recipe.of(ingredients)
    mortal.set(recipe)
    server = mortal._server
    (engine,) = processes_below(server.service.engine._process._process.pid)
    os.kill(engine, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(mortal.client.post, "/v1/completions", BODY) for _ in range(3)]
            wait_until(lambda: server.service.soup._running == 3)
            changed = pool.submit(mortal.set, recipe)
            for one in [*asked, changed]:
                with pytest.raises(EngineLostError, match=r"transformers does not answer: .*timed out"):
                    one.result()
    finally:
        os.kill(engine, signal.SIGCONT)


def test_a_client_that_leaves_makes_nobody_wait(
    served: ServedModel, ingredients: list[str], host: str
) -> None:
    served.set(Recipe.of(ingredients))
    (engine,) = processes_below(served._server.service.engine._process._process.pid)
    soup = served._server.service.soup
    os.kill(engine, signal.SIGSTOP)
    try:
        name, _, port = host.partition(":")
        one = socket.create_connection((name, int(port)))
        body = json.dumps(BODY).encode()
        one.sendall(
            b"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
            % (served.token.encode(), len(body), body)
        )
        wait_until(lambda: soup._running == 1)
        one.close()
        wait_until(lambda: soup._running == 0)
    finally:
        os.kill(engine, signal.SIGCONT)
    served.set(Recipe.of(ingredients[:1]))
