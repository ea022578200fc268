"""Input for fuzzing a server: JSON, audio, frames and requests that are almost right."""

import base64
import io
import json
import os
import re
import socket
import struct
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

BOUND_S = 10.0
"""Longer than any answer or close takes, in seconds."""
SILENCE_S = 0.1
"""A server that is silent for this time may wait for the rest of a request."""
MOST_BYTES = 50_000  # the server's limits for a message and for a body
ASKED_FOR = int(os.environ.get("DS2_FUZZ_EXAMPLES", "0"))


def few(num_examples: int) -> settings:
    """This number of fixed examples; or DS2_FUZZ_EXAMPLES examples, new ones every time."""
    return settings(
        max_examples=ASKED_FOR or num_examples,
        derandomize=not ASKED_FOR,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# JSON as text, because we also need texts that no encoder writes

SCALARS = st.one_of(
    st.sampled_from(
        [
            *("null", "true", "false", "0", "-1", "1", "0.5", "[]", "{}", '""'),
            *("1e999", "-1e999", "1e308", "NaN", "-Infinity", "9" * 400, "9" * 5000),
            *(
                '"\\ud800"',
                '"\\udfff\\ud800"',
                '"\\u0000"',
                '"日"',
                '"1e400"',
                '"nan"',
                "01",
                "'a'",
            ),
        ]
    ),
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.text(st.characters(), max_size=20).map(json.dumps),
)
DEEP = st.builds(
    lambda depth, pair: pair[0] * depth + "0" + pair[1] * depth,
    st.sampled_from([5, 100, 300, 450, 900, 930, 960, 980, 990, 8000]),
    st.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"type":', "}]"), ("[", "")]),
)


def _containers(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    keys = st.text(st.characters(), max_size=5).map(json.dumps) | st.just('"type"')
    pairs = st.tuples(keys, inner).map(": ".join)
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(pairs, max_size=3).map(lambda items: f"{{{', '.join(items)}}}"),
    )


ANY_JSON = st.recursive(SCALARS, _containers, max_leaves=5) | DEEP


@st.composite
def mutated(draw: DrawFn, template: Any) -> str:
    """JSON like the template, with some values and keys replaced or left out."""
    odds = st.integers(0, 11)
    if draw(odds) == 11:
        return draw(ANY_JSON)
    if isinstance(template, dict):
        items = [
            f"{json.dumps(key)}: {draw(mutated(value))}"
            for key, value in template.items()
            if draw(odds) < 10
        ]
        if draw(odds) == 11:
            items.append(f'"surprise": {draw(ANY_JSON)}')
        return f"{{{', '.join(items)}}}"
    if isinstance(template, list):
        return f"[{', '.join(draw(mutated(value)) for value in template)}]"
    return json.dumps(template)


@st.composite
def texts(draw: DrawFn, templates: Sequence[Any]) -> str:
    """A message like one of the templates; sometimes half of it, or random data."""
    kind = draw(st.integers(0, 9))
    if kind == 8:
        return draw(st.text(max_size=100))
    text = draw(mutated(draw(st.sampled_from(templates))))
    return text[: draw(st.integers(0, len(text)))] if kind == 9 else text


# Audio


def noise(num_samples: int, seed: int = 0) -> bytes:
    """16-bit samples."""
    return np.random.default_rng(seed).normal(0, 3000, num_samples).astype("<i2").tobytes()


def wav(samples: bytes, rate_hz: int = 16_000) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate_hz, 0, "NONE", ""))
        writer.writeframes(samples)
    return file.getvalue()


WHOLE_AUDIO = st.sampled_from(
    [
        *(noise(8000), noise(1600) + b"\0", wav(noise(4000)), wav(noise(4000), 8000), b"", b"\0"),
        *(
            wav(b""),
            wav(noise(100)).replace(b"data", b"dat\xff"),
            wav(noise(10)).replace(b"f", b"g"),
        ),
        wav(noise(100)).replace(b"\x01\x00\x01\x00", b"\xfe\xff\xff\xff"),
        np.random.default_rng(1).normal(0, 0.1, 4001).astype("<f4").tobytes(),
        np.array([0.1, np.nan, np.inf, 1e38, -1e-45], "<f4").tobytes(),
        b"A" * (MOST_BYTES + 1),
        *(
            b"OggS\0\2" + noise(100),
            b"fLaC\0\0\0\x22" + noise(100),
            b"\x1a\x45\xdf\xa3" + noise(99),
        ),
        *(
            b"ID3\4\0\0\0\0\0\0" + noise(200),
            b"\xff\xfb\x90\x64" + noise(400),
            b"\0\0\0\x20ftypmp42",
        ),
        *(b'{"eof": 1}', b'{"eof"', b'{"reset": 1}', b"Done", b"RIFF", b"RIFF\xff\xff\xff\xffWAVE"),
    ]
)
AUDIO = st.one_of(
    WHOLE_AUDIO,
    st.binary(max_size=300),
    st.tuples(WHOLE_AUDIO, st.integers(0, 9000)).map(lambda pair: pair[0][: pair[1]]),
    st.tuples(WHOLE_AUDIO, st.binary(max_size=9)).map(lambda pair: pair[0] + pair[1]),
)


def base64_of(data: bytes) -> str:
    """The bytes as JSON carries them."""
    return base64.b64encode(data).decode()


# Frames of WebSockets


@st.composite
def frames(draw: DrawFn) -> bytes:
    """A frame that may break any rule of RFC 6455, section 5."""
    payload = draw(st.sampled_from([b"", b"{}", b"\xff\xfe", b'{"type": "start"}', b"\x03\xe8x"]))
    payload = draw(st.just(payload) | st.binary(max_size=200))
    usual_first = st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A])
    first = draw(usual_first | st.integers(0, 255))
    masked = 0x80 if draw(st.integers(0, 5)) else 0
    length = draw(
        st.sampled_from(
            [len(payload)] * 4 + [0, 125, 126, 65535, 65536, 2**31, 2**63 - 1, 2**64 - 1]
        )
    )
    if length < 126:
        head = bytes([first, masked | length])
    elif length < 65536:
        head = struct.pack(">BBH", first, masked | 126, length)
    else:
        head = struct.pack(">BBQ", first, masked | 127, length)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def close_codes(answer: bytes) -> list[int]:
    """The codes of the close frames that a server sent after its handshake."""
    data, codes = answer.partition(b"\r\n\r\n")[2], []
    while len(data) >= 2:
        length, start = data[1] & 127, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10]), 10
        if data[0] & 15 == 8 and length >= 2:
            codes.append(int.from_bytes(data[start : start + 2]))
        data = data[start + length :]
    return codes


HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


# Requests, byte by byte

FIELDS: Mapping[str, Sequence[str]] = {
    "model": ("tiny", "whisper-1"),
    "language": ("en", "en-US", ""),
    "languages[]": ("en", "zh"),
    "prompt": ("hello, there", ""),
    "keywords[]": ("hello", "a b"),
    "hotwords": ("hello:3, there:-1", "a"),
    "stream": ("true", "false"),
    "response_format": ("json", "text", "srt", "verbose_json", "vtt"),
    "timestamp_granularities[]": ("word", "segment"),
    "include[]": ("logprobs",),
    "temperature": ("0",),
    "chunking_strategy": ("auto",),
    "chunking_strategy[type]": ("server_vad",),
    "chunking_strategy[threshold]": ("0.5", "1e999"),
    "max_line_width": ("1", "40", "0"),
    "max_line_count": ("1", "2"),
    "max_words_per_line": ("1", "0"),
    "highlight_words": ("true", "false"),
    "\xff": ("",),
}
VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 1, "silence_duration_ms": 200}
CHUNKING = texts([VAD, {"type": "semantic_vad", "eagerness": "low"}])
VALUES = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                "tiny",
                "whisper-1",
                "en",
                "zh",
                "json",
                "text",
                "srt",
                "verbose_json",
                "vtt",
                "true",
            ),
            *(
                "word",
                "segment",
                "logprobs",
                "auto",
                "server_vad",
                "1",
                "0",
                "-1",
                "1e999",
                "nan",
                "a:b",
            ),
            *(
                "a:1e9",
                "a, b:-3, 日",
                "hello" * 50,
                "9" * 5000,
                "٣",
                "\0",
                "\x85",
                "a\r\nb",
                "x" * 5000,
            ),
        ]
    ),
    CHUNKING,
    st.text(max_size=20),
)


def _value(draw: DrawFn, name: str) -> str:
    if name == "chunking_strategy" and draw(st.booleans()):
        return draw(CHUNKING)
    return draw(VALUES if draw(st.integers(0, 7)) == 7 else st.sampled_from(FIELDS[name]))


@st.composite
def multiparts(draw: DrawFn) -> bytes:
    """A form with its boundary "edge"."""
    body = b""
    for name in [*draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=5)), "file"]:
        is_file = name == "file" or draw(st.integers(0, 29)) == 29
        filename = f'; filename="{draw(st.sampled_from(["a.wav", "", "a/../b", "日"]))}"' * is_file
        value = draw(st.just(wav(noise(4000))) | AUDIO) if is_file else _value(draw, name).encode()
        head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
        body += head.encode() + value + b"\r\n"
    return body + b"--edge--\r\n"


@st.composite
def spoilt(draw: DrawFn, data: bytes) -> bytes:
    """The bytes with one piece removed and others inserted."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 20)))
    odd = st.sampled_from(
        [b"", b"\0", b"\xff\xfe", b"\r\n", b"\n", b"\r\n\r\n", b"--edge", b":", b"A" * 9000]
    )
    return data[:start] + draw(odd | st.binary(max_size=5)) + data[end:]


def chunked(data: bytes) -> bytes:
    """The body in chunks."""
    half = len(data) // 2
    parts = [part for part in (data[:half], data[half:]) if part]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


PATHS = (
    *("/", "/health", "/ready", "/metrics", "/v1/models", "/v1/models/tiny", "/v1/models/%ff%00"),
    *(
        "/v1/models/%ED%A0%80",
        "/page/server.json",
        "/page/page.js",
        "/page/%2e%2e/page.py",
        "/page/",
    ),
    *(
        "/v1/stream",
        "/v1/realtime",
        "/vosk",
        "/sherpa",
        "/favicon.ico",
        "//",
        "/\xff",
        "/%",
        "*",
        "/a b",
    ),
    *("http://[/", "//[", "/?" + "a" * 9000, "/" + "b" * 70_000, "/v1/listen?encoding=linear16"),
)
POSTED = (
    *("/v1/audio/transcriptions", "/v1/listen", "/v1/listen?encoding=linear16", "/v1/models"),
    *("/v1/listen?encoding=mulaw&sample_rate=99999999", "/v1/listen?encoding=alaw&alternatives=0"),
    *(
        "/v1/realtime/client_secrets",
        "/v1/listen?channels=2",
    ),
)
METHODS = (
    *("POST", "POST", "POST", "POST", "GET", "GET", "HEAD", "PUT", "DELETE", "OPTIONS"),
    *("TRACE", "PRI", "CONNECT", "\0"),
)
CONTENT_TYPES = (
    *(
        "multipart/form-data; boundary=edge",
        "multipart/form-data; boundary=other",
        "text/plain",
        "",
    ),
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\xff",
    ),
    *(
        "multipart/form-data; boundary=edge; charset=utf-16",
        "multipart/form-data; boundary=" + "e" * 300,
    ),
    *(
        "multipart/form-data; boundary=edge; charset=nope",
        "multipart/mixed; boundary=edge",
        "audio/wav",
    ),
    *(
        "application/x-www-form-urlencoded",
        "application/json",
        "application/json; charset=\xff",
        ";;=;",
    ),
)
ODD_HEADERS = (
    *("Origin: http://[", "Origin: null", "Origin: \xff", "Origin: http://localhost", "Host: \xff"),
    *("Content-Length: -1", "Content-Length: 99999999999999999999999", "Content-Length: 1e3"),
    *(
        "Content-Length: 40000",
        "Content-Length: 0",
        "Transfer-Encoding: gzip, chunked",
        "Expect: 100-continue",
    ),
    *(
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: nonsense",
        "Connection: Upgrade",
        "Upgrade: websocket",
    ),
    *(
        "Upgrade: h2c",
        "Authorization: Bearer \xff",
        "Authorization: Basic !",
        "X-API-Key: \0",
        ": empty",
    ),
    *(
        "Range: bytes=9-1",
        "If-None-Match: \xff,W/",
        "Cookie: " + "c" * 9000,
        "no colon",
        "X-Long: " + "d" * 80_000,
    ),
    *(
        "Sec-WebSocket-Key: short",
        "Sec-WebSocket-Version: 99",
        "Content-Encoding: gzip",
        "Accept: \xff",
    ),
)


@st.composite
def requests(draw: DrawFn, secrets: SearchStrategy[str]) -> bytes:
    """An HTTP request that may break any rule. secrets: bodies of JSON."""
    method = draw(st.sampled_from(METHODS))
    path = draw(st.sampled_from(POSTED if method == "POST" else PATHS + POSTED))
    body = draw(st.one_of(multiparts(), multiparts(), AUDIO, secrets.map(str.encode)))
    usual_type = "multipart/form-data; boundary=edge" if "transcriptions" in path else "audio/wav"
    kind = draw(st.just(usual_type) | st.sampled_from(CONTENT_TYPES))
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"Content-Type: {kind}", *draw(st.lists(st.sampled_from(ODD_HEADERS), max_size=1))]
    if draw(st.integers(0, 3)):
        lines.append(f"Content-Length: {len(body)}")
    else:
        lines.append("Transfer-Encoding: chunked")
        body = chunked(body)
    whole = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    fate = draw(st.integers(0, 9))
    if fate == 9:
        return whole[: len(whole) - draw(st.integers(0, len(whole)))]
    return draw(spoilt(whole)) if fate in (7, 8) else whole


# Exchanges


def exchange(at: str, data: bytes) -> bytes:
    """The server's whole answer to bytes; TimeoutError if it does not end."""
    host, port = at.split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=BOUND_S) as connection:
        try:
            connection.sendall(data)
            connection.settimeout(SILENCE_S)
            while piece := _piece(connection):
                answer += piece
        except TimeoutError:
            answer += _rest(connection)
        except ConnectionError:
            pass  # it may close if it does not understand
    return answer


def _piece(connection: socket.socket) -> bytes:
    return connection.recv(1 << 16)


def _rest(connection: socket.socket) -> bytes:
    """The answer after the server knows that we send no more."""
    answer = b""
    connection.settimeout(BOUND_S)
    try:
        connection.shutdown(socket.SHUT_WR)
        while piece := _piece(connection):
            answer += piece
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
    return answer


def statuses(answer: bytes) -> list[int]:
    """The status codes of the responses in an answer."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] ([0-9]{3})", answer)]
