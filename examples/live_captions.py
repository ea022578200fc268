"""Live captions over a WebSocket: send a recording at the pace of speech, print the text.

    ds2 serve -m en                                   # in another terminal
    python examples/live_captions.py RECORDING [ADDRESS]

The program needs `websockets` and `soundfile`, and no part of ds2. It shows the messages of the
protocol (docs/reference/websocket.md), so that you can write it again in any language.
"""

import asyncio
import json
import sys

import soundfile
from websockets.asyncio.client import ClientConnection, connect

PIECE_S = 0.1  # audio in a message


async def send(websocket: ClientConnection, path: str) -> None:
    """Send the samples of a recording at the pace of real time, then the end."""
    with soundfile.SoundFile(path) as recording:
        for block in recording.blocks(round(PIECE_S * recording.samplerate), dtype="int16"):
            samples = block if block.ndim == 1 else block[:, 0].copy()
            await websocket.send(samples.astype("<i2").tobytes())
            await asyncio.sleep(PIECE_S)
    await websocket.send(json.dumps({"type": "finish"}))


async def caption(path: str, address: str) -> None:
    """Start a stream, send, and print each message until the server is done."""
    async with connect(address) as websocket:
        start = {"type": "start", "language": "en", "encoding": "s16le"}
        start["sample_rate_hz"] = soundfile.info(path).samplerate
        await websocket.send(json.dumps(start))
        sending = asyncio.create_task(send(websocket, path))
        async for text in websocket:
            message = json.loads(text)
            if message["type"] == "partial":
                print(f"{message['stable']}|{message['unstable']}")
            elif message["type"] == "final" and message["words"]:
                print(f"[{message['words'][0]['start']:.1f} s] {message['text']}")
            elif message["type"] == "error":
                raise SystemExit(f"the server says: {message['message']}")
        await sending


if __name__ == "__main__":
    where = sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8000/v1/stream"
    try:
        asyncio.run(caption(sys.argv[1], where))
    except ConnectionRefusedError:
        raise SystemExit(f"{where}: no server answers: start `ds2 serve -m en`") from None
