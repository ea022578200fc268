"""Print what you say into the microphone. Ctrl-C ends the program.

pip install '.[listen]'
python examples/microphone.py [MODEL]
"""

import sys

import sounddevice

from ds2 import EndpointRules, Event, Final, Partial, Recognizer

RATE_HZ = 16_000
BLOCK = 1_600  # samples: a tenth of a second


def show(events: list[Event]) -> None:
    """Print a line for each segment; the current line changes in place."""
    for event in events:
        if isinstance(event, Partial):
            print("\r" + event.text, end="\033[K", flush=True)
        elif isinstance(event, Final):
            print("\r" + event.transcript.text + "\033[K")


def main() -> None:
    """Feed the microphone into a stream, block by block."""
    model = sys.argv[1] if len(sys.argv) > 1 else "en"
    stream = Recognizer.load(model).stream(endpoints=EndpointRules())
    with sounddevice.InputStream(samplerate=RATE_HZ, channels=1, dtype="float32") as microphone:
        print("Speak.")
        try:
            while True:
                samples, _ = microphone.read(BLOCK)
                show(stream.feed(samples))
        except KeyboardInterrupt:
            print("\r" + stream.finish().text + "\033[K")


if __name__ == "__main__":
    main()
