"""One recogniser in its own Python: JSON lines in and out.

    PYTHON accuracy_systems.py SYSTEM MODEL_DIR LANGUAGE

accuracy.py runs it in the Python of each peer. Therefore it imports only the standard library, and
the peer in each system's function. MODEL_DIR may be empty if the package contains its model.

It first writes {"version", "model_bytes", "load_cpu_s", "streams"}. Then, for each {"wav": PATH}
(16 kHz, 16 bits, one channel), it writes {"text", "cpu_s", "peak_bytes"}. CPU seconds are those of
the whole process with all threads, from samples in memory to the text. Memory is the peak so far.
"""

import json
import os
import sys
import time
import wave
from array import array
from contextlib import contextmanager
from pathlib import Path

PIECE_S = 0.2
"""Length of a piece of audio for systems that stream, as from a live microphone."""


class Loaded:
    """A recogniser that has loaded.

    recognise: makes a text from 16-bit samples in bytes.
    """

    def __init__(self, recognise, version, model_files, streams):
        self.recognise = recognise
        self.version = version
        self.model_files = model_files
        self.streams = streams


def vosk(model_dir, _language):
    """vosk: a new recogniser for each recording, fed in pieces; endpoints divide its text."""
    from vosk import KaldiRecognizer, Model, SetLogLevel

    SetLogLevel(-1)
    model = Model(model_dir)

    def recognise(samples):
        recognizer = KaldiRecognizer(model, 16000)
        texts = []
        for piece in pieces(samples):
            if recognizer.AcceptWaveform(piece):
                texts.append(json.loads(recognizer.Result())["text"])
        texts.append(json.loads(recognizer.FinalResult())["text"])
        return " ".join(texts)

    return Loaded(recognise, "vosk " + version_of("vosk"), files_of(model_dir), streams=True)


def whisper(model_dir, language):
    """faster-whisper with its defaults (beam of 5), a given language, and int8 as on its page."""
    import numpy as np
    from faster_whisper import WhisperModel

    model = WhisperModel(model_dir, device="cpu", compute_type="int8", cpu_threads=1)

    def recognise(samples):
        waveform = np.frombuffer(samples, np.int16).astype(np.float32) / 32768
        segments, _ = model.transcribe(waveform, language=language)
        return " ".join(segment.text for segment in segments)

    version = "faster-whisper " + version_of("faster-whisper")
    return Loaded(recognise, version, files_of(model_dir), streams=False)


def whisper_onnx(model_dir, language):
    """Whisper's ONNX graphs with weights of 8 bits in onnx-asr, greedy, with a given language."""
    import numpy as np
    import onnx_asr
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnx_asr.load_model(
        "whisper", model_dir, quantization="quantized", sess_options=options
    )

    def recognise(samples):
        waveform = np.frombuffer(samples, np.int16).astype(np.float32) / 32768
        return model.recognize(waveform, sample_rate=16000, language=language)

    graphs = [path for path in files_of(model_dir) if path.suffix == ".onnx"]
    return Loaded(recognise, "onnx-asr " + version_of("onnx-asr"), graphs, streams=False)


def moonshine(model_dir, _language):
    """Moonshine's ONNX package on one core; the package sets the model's file names."""
    import numpy as np
    from moonshine_onnx import MoonshineOnnxModel, load_tokenizer

    with one_core():
        model = MoonshineOnnxModel(models_dir=model_dir, model_name="moonshine/tiny")
    tokenizer = load_tokenizer()

    def recognise(samples):
        waveform = np.frombuffer(samples, np.int16).astype(np.float32) / 32768
        return tokenizer.decode_batch(model.generate(waveform[np.newaxis]))[0]

    version = "useful-moonshine-onnx " + version_of("useful-moonshine-onnx")
    return Loaded(recognise, version, files_of(model_dir), streams=False)


def pocketsphinx(model_dir, _language):
    """pocketsphinx with its package's model; whole recordings, each with its own cepstral mean."""
    import pocketsphinx as package

    model_dir = model_dir or package.get_model_path("en-us")
    decoder = package.Decoder(cmn="batch", loglevel="FATAL")

    def recognise(samples):
        decoder.start_utt()
        decoder.process_raw(samples, no_search=False, full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    version = "pocketsphinx " + version_of("pocketsphinx")
    return Loaded(recognise, version, files_of(model_dir), streams=False)


def ds2(model_dir, _language):
    """ds2 with the bundle's language model, as in a live stream."""
    return _ds2(model_dir, greedy=False)


def ds2_greedy(model_dir, _language):
    """ds2 without a language model."""
    return _ds2(model_dir, greedy=True)


def _ds2(model_dir, greedy):
    import numpy as np

    from ds2.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(model_dir, greedy=greedy)
    recognizer.warm_up(PIECE_S)

    def recognise(samples):
        stream = recognizer.stream(chunk_s=PIECE_S)
        for piece in pieces(samples):
            stream.feed(np.frombuffer(piece, np.int16).astype(np.float32) / 32768)
        return stream.finish().text

    left_out = {"README.md", *(["lm.bin"] if greedy else [])}
    files = [path for path in files_of(model_dir) if path.name not in left_out]
    streams = recognizer.bundle.model.streaming
    return Loaded(recognise, "ds2 " + version_of("ds2"), files, streams)


SYSTEMS = {
    "vosk": vosk,
    "whisper": whisper,
    "whisper-onnx": whisper_onnx,
    "moonshine": moonshine,
    "pocketsphinx": pocketsphinx,
    "ds2": ds2,
    "ds2-greedy": ds2_greedy,
}


def pieces(samples):
    """The samples in pieces, as they would arrive."""
    size = 2 * int(16000 * PIECE_S)
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def files_of(model_dir):
    """The files that recognition needs: of our bundles, not the network before the export."""
    files = (path for path in Path(model_dir).rglob("*") if path.is_file())
    return sorted(path for path in files if path.name != "network.safetensors")


def version_of(package):
    from importlib.metadata import version

    return version(package)


@contextmanager
def one_core():
    """Limit the libraries to the threads that one core can use."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def peak_bytes():
    """The peak memory of this process in bytes; Linux only."""
    # getrusage gives the parent's peak if that was larger at the fork
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def samples_of(path):
    with wave.open(path) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return file.readframes(file.getnframes())


def main():
    """Load, warm up on a second of silence, then answer each line."""
    system, model_dir, language = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's output must not mix with the answers
    start_s = time.process_time()
    loaded = SYSTEMS[system](model_dir, language)
    load_cpu_s = time.process_time() - start_s
    loaded.recognise(array("h", bytes(32000)).tobytes())

    def answer(**fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    answer(
        version=loaded.version,
        model_bytes=sum(path.stat().st_size for path in loaded.model_files),
        load_cpu_s=load_cpu_s,
        streams=loaded.streams,
    )
    for line in sys.stdin:
        samples = samples_of(json.loads(line)["wav"])
        start_s = time.process_time()
        text = loaded.recognise(samples)
        cpu_s = time.process_time() - start_s
        answer(text=text, cpu_s=cpu_s, peak_bytes=peak_bytes())


if __name__ == "__main__":
    main()
