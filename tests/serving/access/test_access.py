"""Access: secrets with one spelling, our own host names, refusals that pages can read."""

import base64
import socket
import string
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from aids.listening import listening
from aids.models import write_random_bundle
from ds2.recognition.recognizer import Recognizer
from ds2.serving.access.client_secrets import ClientSecrets
from ds2.serving.access.hosts import is_local, known_hosts, name_of
from ds2.serving.config import ServeSettings

KEY = "a-key-of-the-server"
PAGE = "https://ours.example"


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def locked(recognizer: Recognizer) -> Iterator[str]:
    settings = ServeSettings(api_keys=(KEY,), allowed_origins=(PAGE,), drain_s=0)
    with listening({"tiny": recognizer}, settings) as at:
        yield at


def spellings(secret: str) -> Iterator[str]:
    """Spellings that a careless base64 decoder would take for the same secret."""
    body = secret.removeprefix("ek_")
    for letter in sorted({*string.punctuation, " ", "\t", "é"} - {*"-_"}):
        yield f"ek_{letter}{body}"
        yield f"ek_{body}{letter}"
    payload, _, signature = body.partition(".")
    for padding in ("=", "==", "===", "\n"):
        yield f"ek_{payload}{padding}.{signature}"
        yield f"ek_{payload}.{signature}{padding}"
    yield f"ek_{payload}.{signature}." + signature
    yield f"ek_ek_{body}"
    yield from (f"ek_{payload}{other}.{signature}" for other in "AQgw")
    for part, place in ((payload, 3), (signature, len(body) - 1)):
        rest = len(part) % 4
        if rest:  # bits that belong to no byte
            last = base64.urlsafe_b64encode(base64.urlsafe_b64decode(part + "=" * (4 - rest)))
            assert last.decode().rstrip("=") == part
            letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
            other = letters[letters.index(part[-1]) ^ 1]
            changed = part[:-1] + other
            del place
            yield "ek_" + (f"{changed}.{signature}" if part is payload else f"{payload}.{changed}")


def test_a_secret_has_one_spelling() -> None:
    secrets = ClientSecrets((KEY,))
    session = {"type": "transcription", "note": "?" * 7}
    for pad in range(4):
        secret, _ = secrets.mint({**session, "pad": "x" * pad})
        assert secrets.session_of(secret) == {**session, "pad": "x" * pad}
        taken = [text for text in spellings(secret) if secrets.is_valid(text)]
        assert taken == []


NAMES = [
    ("127.0.0.1", "localhost:8000", 200),
    ("127.0.0.1", "LOCALHOST", 200),
    ("127.0.0.1", "127.0.0.1:8000", 200),
    ("127.0.0.1", "[::1]:8000", 200),
    ("127.0.0.1", "192.168.1.7:8000", 200),
    ("127.0.0.1", "ds2.localhost", 200),
    ("127.0.0.1", "rebound.example:8000", 403),
    ("127.0.0.1", "localhost.rebound.example", 403),
    ("127.0.0.1", "127.0.0.1.rebound.example", 403),
    ("0.0.0.0", "anything.example", 200),
]


@pytest.mark.parametrize(("listens_on", "host", "status"), NAMES)
def test_on_loopback_only_known_host_names_are_served(
    listens_on: str, host: str, status: int
) -> None:
    known = known_hosts(ServeSettings(host=listens_on))
    name = name_of(host)
    is_served = known is None or name in known or is_local(name)
    assert is_served == (status == 200)


def test_a_page_that_has_its_name_changed_reads_nothing(recognizer: Recognizer) -> None:
    rebound = {"Host": "rebound.example:8000", "Origin": "http://rebound.example:8000"}
    with listening({"tiny": recognizer}, ServeSettings(drain_s=0)) as at:
        for path in ("/", "/health", "/v1/models", "/page/server.json"):
            answer = httpx.get(f"http://{at}{path}", headers=rebound)
            assert answer.status_code == 403
            assert "--allow-host" in answer.json()["error"]["message"]
        port = int(at.split(":")[1])
        with socket.create_connection(("127.0.0.1", port)) as raw:
            url = "ws://rebound.example:8000/v1/stream"  # as a page asks for it
            with pytest.raises(InvalidStatus) as caught:
                connect(url, sock=raw, origin=Origin("http://rebound.example:8000")).close()
        assert caught.value.response.status_code == 403


def test_host_names_may_be_allowed(recognizer: Recognizer) -> None:
    settings = ServeSettings(drain_s=0, allowed_hosts=("asr.example",))
    with listening({"tiny": recognizer}, settings) as at:
        for host, status in (("asr.example", 200), ("asr.example:443", 200), ("b.example", 403)):
            answer = httpx.get(f"http://{at}/v1/models", headers={"Host": host})
            assert answer.status_code == status
    assert known_hosts(ServeSettings(allowed_hosts=("*",))) is None
    assert known_hosts(ServeSettings(host="0.0.0.0", allowed_hosts=("a",))) == {"0.0.0.0", "a"}


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/models", 401), ("/none", 401), ("/v1/audio/transcriptions", 401)]
)
def test_an_allowed_page_can_read_why_it_is_refused(locked: str, path: str, status: int) -> None:
    answer = httpx.get(f"http://{locked}{path}", headers={"Origin": PAGE})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    other = httpx.get(f"http://{locked}{path}", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_every_answer_has_a_name(locked: str) -> None:
    for path, status in (("/v1/models", 401), ("/health", 200)):
        answer = httpx.get(f"http://{locked}{path}")
        assert answer.status_code == status
        assert answer.headers["x-request-id"].startswith("req_")
    headers = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "mine"}
    with connect(f"ws://{locked}/v1/stream", additional_headers=headers) as client:
        assert client.response is not None
        assert client.response.headers["x-request-id"] == "mine"
