"""Run the clients of a checkout of alphacep/vosk-server against a ds2 server.

    git clone https://github.com/alphacep/vosk-server
    ds2 serve -m en &
    python tests/clients/run_vosk_clients.py vosk-server

The scripts run as they are, except for the server's address. Those in Python need `websockets`,
`websocket-client` and `srt`, the one for node `ws` 7 (8 gives it bytes instead of text); what
cannot run here is passed over.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CLIENTS = (
    # script, address in it, recording
    ("websocket/test.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("websocket/test.py", "ws://localhost:2700", "websocket/test.wav"),
    ("websocket/test_words.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("websocket/test_alternatives.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("websocket/test_srt.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("websocket/test_ffmpeg.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("client-samples/python/asr-test.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("client-samples/python/asr-test-client.py", "ws://localhost:2700", "websocket/test16k.wav"),
    ("client-samples/node/test.js", "wss://api.alphacephei.com/asr/en/", "websocket/test.wav"),
    ("client-samples/php/asr-test.php", "ws://localhost:2700/", "websocket/test.wav"),
)
PROGRAMS = {".py": sys.executable, ".js": "node", ".php": "php"}
LIMIT_S = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--server", default="ws://localhost:8000/vosk", help="URL (%(default)s)")
    args = parser.parse_args()
    failed = [each for each in CLIENTS if not run(args.checkout, args.server, *each)]
    return 1 if failed else 0


def run(checkout: Path, server: str, script: str, address: str, recording: str) -> bool:
    """Run a client, print the result, and return whether it works or cannot run here."""
    path = checkout / script
    program = shutil.which(PROGRAMS[path.suffix])
    needs_ffmpeg = "ffmpeg" in script and not shutil.which("ffmpeg")
    if program is None or needs_ffmpeg:
        print(f"skip  {script}: {'ffmpeg' if needs_ffmpeg else PROGRAMS[path.suffix]} is missing")
        return True
    text = path.read_text(encoding="utf-8")
    assert address in text, f"{script} has changed"
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / path.name
        copy.write_text(text.replace(address, server), encoding="utf-8")
        shutil.copy(checkout / recording, Path(directory) / "test.wav")  # for some scripts
        try:
            done = subprocess.run(
                [program, str(copy), "test.wav"],
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            print(f"HANGS {script} {recording}")
            return False
    if "Cannot find module" in done.stderr or "vendor/autoload" in done.stderr + done.stdout:
        print(f"skip  {script}: its packages are not installed")
        return True
    found = words_in(done.stdout)
    is_well = done.returncode == 0 and bool(found) and "Traceback" not in done.stdout
    print(f"{'ok   ' if is_well else 'FAILS'} {script} {recording}: {found}")
    if not is_well:
        print(done.stdout[-1000:], done.stderr[-1000:], sep="\n")
    return is_well


def words_in(output: str) -> str:
    """The text of all results that a client has printed; or its subtitles."""
    texts = []
    for line in output.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            best = told.get("alternatives", [told])[0]
            texts.append(best.get("text", ""))
    if any(texts):
        return " ".join(filter(None, texts))
    lines = [line for line in output.splitlines() if line.strip() and line[0].isalpha()]
    return " ".join(lines)


if __name__ == "__main__":
    sys.exit(main())
