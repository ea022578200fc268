"""Run the Deep Speech 2 classes of other toolkits from their own source, and make our fixtures.

    PY tests/aids/originals.py TOOLKIT SOURCE OUT [RECORDING ...]

TOOLKIT is paddlespeech, deepspeech.pytorch, masr or ppasr; SOURCE its unpacked repository; PY a
Python with what it needs (paddlepaddle and typeguard<3, or torch with pytorch-lightning, omegaconf,
librosa and others). For every variant of the network, OUT/VARIANT gets a checkpoint with random
weights and what belongs to it, as users have them, and expected.npz: for each waveform the features
and the log-probabilities of the original. Without recordings the networks are tiny and the
waveform is noise; then only expected.npz and shapes.json are kept, which go to
tests/importing/originals, as the weights and the waveform can be made again from them.
"""

import argparse
import copy
import functools
import importlib
import importlib.util
import json
import logging
import math
import sys
import types
import wave
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

VARIANTS = {
    "paddlespeech": {
        "forward-lstm": {"rnn_direction": "forward", "use_gru": False, "num_rnn_layers": 3},
        "forward-gru-fc": {"rnn_direction": "forward", "use_gru": True, "num_fc_layers": 2},
        "forward-lstm-5": {"rnn_direction": "forward", "use_gru": False, "num_rnn_layers": 5},
        "both-lstm-fc": {"rnn_direction": "bidirect", "use_gru": False, "num_fc_layers": 1},
        "both-gru": {"rnn_direction": "bidirect", "use_gru": True, "num_rnn_layers": 3},
    },
    "deepspeech.pytorch": {
        "both-lstm": {"rnn": "lstm", "both": True, "layers": 3},
        "both-gru": {"rnn": "gru", "both": True, "layers": 2},
        "forward-lstm": {"rnn": "lstm", "both": False, "layers": 5},
        "forward-gru": {"rnn": "gru", "both": False, "layers": 2},
        "forward-rnn": {"rnn": "rnn", "both": False, "layers": 2},
    },
    "masr": {
        "streaming-lstm": {"streaming": True, "use_gru": False},
        "whole-gru": {"streaming": False, "use_gru": True},
    },
}
VARIANTS["ppasr"] = VARIANTS["masr"]
TOKENS = ("<blank>", "<unk>", "一", "二", "三", "a", "<space>", "<eos>")
CAPITALS = "_'ABC "
SEED = 18
# Not a multiple of the stride: there librosa 0.11 mirrors the clip's end one sample short, which
# librosa did not do when the models were trained.
SECONDS = {"paddlespeech": 0.6, "deepspeech.pytorch": 0.3023, "masr": 0.6, "ppasr": 0.6}


def random_weights(
    shapes: Mapping[str, Iterable[int]], seed: int = SEED
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Weights of these shapes, the same wherever they are made: large enough to matter."""
    weights = {}
    for index, name in enumerate(sorted(shapes)):
        shape = tuple(shapes[name])
        values = np.random.default_rng([seed, index]).random(shape) * 2 - 1
        if name.endswith(("running_var", "istd")):
            values = 0.5 + 0.25 * values
        elif len(shape) > 1:
            fan = min(shape) if len(shape) == 2 else math.prod(shape[1:])
            values *= (1 if "weight_hh" in name else 2) / math.sqrt(fan)
        elif name.endswith("weight"):  # weights of a normalisation
            values = 1 + 0.5 * values
        weights[name] = values.astype(np.float32)
    return weights


def noise_waveform(seconds: float, seed: int = SEED) -> Any:
    """(N,) float32: noise that is loud and faint by turns, exact as 16-bit samples."""
    num_samples = round(16_000 * seconds)
    generator = np.random.default_rng(seed)
    samples = generator.integers(-20_000, 20_000, num_samples) >> (
        np.arange(num_samples) // 800 % 6
    )
    return (samples / 32_768).astype(np.float32)


def read_wav(path: Path) -> Any:
    """(N,) float32 of a 16 kHz mono file of 16-bit samples."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (samples / 32_768).astype(np.float32)


class Paddle:
    """PaddleSpeech's and PPASR's classes, without the parts that only training needs."""

    def __init__(self, toolkit: str, source: Path) -> None:
        paddle = importlib.import_module("paddle")
        self.paddle = paddle
        self.toolkit = toolkit
        _accept_positions(paddle)
        package = {"paddlespeech": "paddlespeech.s2t", "ppasr": "ppasr"}[toolkit]
        _skip_inits(source, package)
        # PPASR uses PaddleSpeech's paddleaudio, so its source has a link to that audio/ folder.
        _skip_inits(source / "audio", "paddleaudio", ("paddleaudio.compliance",))
        if toolkit == "paddlespeech":
            _stub(f"{package}.utils.log", Log=_Log)
            for name in ("utils.layer_tools", "utils.ctc_utils", "utils.checkpoint"):
                _stub(f"{package}.{name}", Checkpoint=None)
            _stub(f"{package}.decoders")
            names = ("ctc_beam_search_decoding_batch", "ctc_greedy_decoding", "Scorer")
            names = (*names, "CTCBeamSearchDecoder")
            _stub(f"{package}.decoders.ctcdecoder", **dict.fromkeys(names))

    def build(self, settings: Mapping[str, Any], num_bins: int, hidden: int, folder: Path) -> Any:
        if self.toolkit == "paddlespeech":
            module = importlib.import_module("paddlespeech.s2t.models.ds2.deepspeech2")
            sizes = [hidden, hidden // 2][: settings.get("num_fc_layers", 0)]
            given = {"num_rnn_layers": 2, "num_fc_layers": 0, **settings}
            model = module.DeepSpeech2Model(
                num_bins, len(TOKENS), rnn_size=hidden, fc_layers_size_list=sizes, **given
            )
        else:
            model = _masr_model("ppasr", settings, num_bins, hidden, folder)
        model.eval()
        shapes = {
            name: value.shape for name, value in model.state_dict().items() if "cell" not in name
        }
        weights = random_weights(shapes)
        missing, unexpected = model.set_state_dict(
            {name: self.paddle.to_tensor(value) for name, value in weights.items()}
        )
        assert not unexpected, unexpected
        assert all("cell" in name for name in missing), missing
        return model, shapes

    def features(self, waveform: Any, num_bins: int) -> Any:
        fbank = importlib.import_module("paddleaudio.compliance.kaldi").fbank
        samples = waveform * 32_768
        if self.toolkit == "ppasr":
            samples = _levelled(waveform)
        floor = {"energy_floor": 0.0} if self.toolkit == "paddlespeech" else {}
        self.paddle.set_default_dtype("float64")  # else their rounding is part of the difference
        given = self.paddle.to_tensor(samples[None].astype(np.float64))
        energies = fbank(given, n_mels=num_bins, dither=0.0, **floor).numpy()
        self.paddle.set_default_dtype("float32")
        return np.asarray(energies)

    def log_probs(self, model: Any, features: Any) -> Any:
        paddle = self.paddle
        with paddle.no_grad():
            frames = paddle.to_tensor(features[None].astype(np.float32))
            lengths = paddle.to_tensor(np.array([len(features)]))
            outputs, *_ = model.encoder(frames, lengths, None, None)
            return model.decoder.log_softmax(outputs).numpy()[0]

    def save(self, model: Any, path: Path) -> None:
        self.paddle.save(model.state_dict(), str(path))


class Masr:
    """MASR's classes, on torch."""

    def __init__(self, source: Path) -> None:
        self.torch = importlib.import_module("torch")
        self.fbank = _torchaudio_fbank()
        _skip_inits(source, "masr")

    def build(self, settings: Mapping[str, Any], num_bins: int, hidden: int, folder: Path) -> Any:
        model = _masr_model("masr", settings, num_bins, hidden, folder)
        return _filled(self.torch, model)

    def features(self, waveform: Any, num_bins: int) -> Any:
        given = self.torch.from_numpy(_levelled(waveform)[None])
        return self.fbank(given, num_mel_bins=num_bins, dither=0.0, sample_frequency=16_000).numpy()

    def log_probs(self, model: Any, features: Any) -> Any:
        with self.torch.no_grad():
            frames = self.torch.from_numpy(features[None])
            lengths = self.torch.tensor([len(features)])
            outputs, *_ = model.encoder(frames, lengths)
            return model.decoder.log_softmax(outputs).numpy()[0]

    def save(self, model: Any, path: Path) -> None:
        self.torch.save(model.state_dict(), path)


class DeepSpeechPytorch:
    """deepspeech.pytorch's class, with its configuration adapted to today's Python."""

    def __init__(self, source: Path) -> None:
        self.torch = importlib.import_module("torch")
        sys.path.insert(0, str(source))
        self.config = importlib.import_module("deepspeech_pytorch.configs.train_config")
        self.enums = importlib.import_module("deepspeech_pytorch.enums")
        self.model = importlib.import_module("deepspeech_pytorch.model")

    def build(self, settings: Mapping[str, Any], num_bins: int, hidden: int, folder: Path) -> Any:
        del num_bins, folder
        structured = importlib.import_module("omegaconf").OmegaConf.structured
        kind = "BiDirectionalConfig" if settings["both"] else "UniDirectionalConfig"
        model = self.model.DeepSpeech(
            list(CAPITALS),
            structured(
                getattr(self.config, kind)(
                    rnn_type=self.enums.RNNType[settings["rnn"]],
                    hidden_size=hidden,
                    hidden_layers=settings["layers"],
                )
            ),
            32,
            structured(self.config.AdamConfig()),
            structured(self.config.SpectConfig()),
        )
        return _filled(self.torch, model)

    def features(self, waveform: Any, num_bins: int) -> Any:
        del num_bins
        # librosa mirrored a clip at its ends when the published models were trained.
        librosa = importlib.import_module("librosa")
        if not isinstance(librosa.stft, functools.partial):
            librosa.stft = functools.partial(librosa.stft, pad_mode="reflect")
        _stub("sox")
        _stub("torchaudio", set_audio_backend=print)
        loader = importlib.import_module("deepspeech_pytorch.loader.data_loader")
        parser = loader.AudioParser(self.config.SpectConfig(), normalize=True)
        return parser.compute_spectrogram(waveform).numpy().T

    def log_probs(self, model: Any, features: Any) -> Any:
        model = copy.deepcopy(model).double()  # else their rounding is part of the difference
        with self.torch.no_grad():
            frames = self.torch.from_numpy(np.ascontiguousarray(features.T)).double()[None, None]
            probabilities, *_ = model(frames, self.torch.tensor([len(features)]))
            return probabilities[0].log().numpy()

    def save(self, model: Any, path: Path) -> None:
        """The checkpoint as Lightning's trainer writes it."""
        content = {
            "epoch": 1,
            "global_step": 2,
            "pytorch-lightning_version": importlib.import_module("pytorch_lightning").__version__,
            "state_dict": model.state_dict(),
            "hparams_name": "kwargs",
            "hyper_parameters": dict(model.hparams),
        }
        self.torch.save(content, path)


def _masr_model(
    package: str, settings: Mapping[str, Any], num_bins: int, hidden: int, folder: Path
) -> Any:
    statistics = folder / "mean_istd.json"
    statistics.write_text(json.dumps({"mean": [0.0] * num_bins, "istd": [1.0] * num_bins}))
    _stub("tqdm", tqdm=None)
    for name in ("data_utils.utils", "data_utils.audio", "utils.logger"):
        _stub(f"{package}.{name}", read_manifest=None, AudioSegment=None, setup_logger=_no_log)
    _stub(f"{package}.data_utils.featurizer.audio_featurizer", AudioFeaturizer=None)
    module = importlib.import_module(f"{package}.model_utils.deepspeech2.model")
    conf = {"num_rnn_layers": 2, "rnn_size": hidden, "use_gru": settings["use_gru"]}
    return module.DeepSpeech2Model(
        num_bins, len(TOKENS), str(statistics), settings["streaming"], conf, {}
    )


def _filled(torch: Any, model: Any) -> Any:
    model.eval()
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }
    weights = {name: torch.from_numpy(value) for name, value in random_weights(shapes).items()}
    result = model.load_state_dict(weights, strict=False)
    assert not result.unexpected_keys
    return model, shapes


def _levelled(waveform: Any) -> Any:
    """Scale as MASR and PPASR do: -20 dB, then 16-bit integers."""
    mean_square = np.mean(waveform**2)
    gain_db = -20 - 10 * np.log10(mean_square)
    samples = waveform * 10.0 ** (gain_db / 20) * 32_768
    return np.clip(samples, -32_768, 32_767).astype(np.int16).astype(np.float32)


def _torchaudio_fbank() -> Any:
    """The only pure Python file of torchaudio, so that its libraries need not load on a CPU."""
    spec = importlib.util.find_spec("torchaudio")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    _stub("torchaudio")
    path = folder / "compliance" / "kaldi.py"
    spec = importlib.util.spec_from_file_location("kaldi", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fbank


class _Log:
    def __init__(self, name: str) -> None:
        self._name = name

    def getlog(self) -> Any:
        return logging.getLogger(self._name)


def _no_log(name: str) -> Any:
    return logging.getLogger(name)


def _stub(name: str, **content: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


def _skip_inits(source: Path, package: str, packages: Iterable[str] = ()) -> None:
    """Make packages of folders whose __init__.py imports everything else."""
    parts = package.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    below = sorted(
        path.relative_to(source).as_posix().replace("/", ".")
        for path in (source / Path(*parts)).rglob("*")
        if path.is_dir() and "_" not in path.name[:1]
    )
    for name in (*names, *(packages or below)):
        module = types.ModuleType(name)
        module.__path__ = [str(source / name.replace(".", "/"))]  # type: ignore[attr-defined]
        sys.modules[name] = module


def _accept_positions(paddle: Any) -> None:
    """Let layers take arguments by position that PaddlePaddle 3 takes only by name."""
    conv, linear = paddle.nn.Conv2D, paddle.nn.Linear
    conv_names = ("stride", "padding", "dilation", "groups", "padding_mode", "weight_attr")
    conv_names = (*conv_names, "bias_attr", "data_format")

    class Conv2D(conv):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args[:3], **dict(zip(conv_names, args[3:], strict=False)), **kwargs)

    class Linear(linear):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            names = ("weight_attr", "bias_attr", "name")
            super().__init__(*args[:2], **dict(zip(names, args[2:], strict=False)), **kwargs)

    paddle.nn.Conv2D, paddle.nn.Linear = Conv2D, Linear


def write_belongings(
    toolkit: str, settings: Mapping[str, Any], folder: Path, num_bins: int
) -> Path:
    """Write the files beside a checkpoint, as users have them; return the checkpoint's path."""
    if toolkit == "deepspeech.pytorch":
        return folder / "model.ckpt"
    if toolkit == "paddlespeech":
        for name in ("conf", "data/lang_char", "exp/deepspeech2/checkpoints"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        lines = {
            "vocab_filepath": "data/lang_char/vocab.txt",
            "preprocess_config": "conf/preprocess.yaml",
            "unit_type": "'char'",
            "num_rnn_layers": settings.get("num_rnn_layers", 2),
            "rnn_direction": settings["rnn_direction"],
            "use_gru": settings["use_gru"],
            "blank_id": 0,
        }
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (folder / "conf/deepspeech2.yaml").write_text(text)
        (folder / "conf/preprocess.yaml").write_text(
            f"process:\n  - type: fbank_kaldi\n    fs: 16000\n    n_mels: {num_bins}\n"
            "    n_shift: 160\n    win_length: 400\n    dither: 0.1\n"
            "  - type: cmvn_json\n    cmvn_path: data/mean_std.json\n"
            "  - type: time_warp\n    max_time_warp: 5\n"
        )
        (folder / "data/lang_char/vocab.txt").write_text("\n".join(TOKENS) + "\n", "utf-8")
        mean, variance, count = 12.0, 9.0, 1000
        statistics = {
            "mean_stat": [mean * count] * num_bins,
            "var_stat": [(variance + mean**2) * count] * num_bins,
            "frame_num": count,
        }
        (folder / "data/mean_std.json").write_text(json.dumps(statistics))
        return folder / "exp/deepspeech2/checkpoints/avg_1.pdparams"
    (folder / "deepspeech2.yml").write_text(
        "preprocess_conf:\n  feature_method: 'fbank'\n"
        f"  n_mels: {num_bins}\n  sample_rate: 16000\n"
        "  use_dB_normalization: True\n  target_dB: -20\nuse_model: 'deepspeech2'\n"
    )
    (folder / "vocabulary.txt").write_text("\t1\n".join(TOKENS) + "\t1\n", "utf-8")
    return folder / ("model.pt" if toolkit == "masr" else "model.pdparams")


def normalise(toolkit: str, features: Any) -> Any:
    """Normalise with the statistics of `write_belongings`; MASR and PPASR do it in the network."""
    return (features - 12.0) / 3.0 if toolkit == "paddlespeech" else features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("toolkit", choices=tuple(VARIANTS))
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("recordings", type=Path, nargs="*")
    parser.add_argument("--hidden", type=int, help="units of a layer (8; with recordings, 256)")
    args = parser.parse_args()
    tiny = not args.recordings
    if args.toolkit in ("paddlespeech", "ppasr"):
        original: Any = Paddle(args.toolkit, args.source)
    elif args.toolkit == "masr":
        original = Masr(args.source)
    else:
        original = DeepSpeechPytorch(args.source)
    num_bins = 23 if tiny else 161 if args.toolkit == "paddlespeech" else 80
    waveforms = [read_wav(path) for path in args.recordings]
    waveforms = waveforms or [noise_waveform(SECONDS[args.toolkit])]
    for name, settings in VARIANTS[args.toolkit].items():
        folder = args.output / name
        folder.mkdir(parents=True, exist_ok=True)
        hidden = args.hidden or (8 if tiny else 256)
        model, shapes = original.build(settings, num_bins, hidden, folder)
        expected = {}
        for i, waveform in enumerate(waveforms):
            features = normalise(args.toolkit, original.features(waveform, num_bins))
            features = np.asarray(features, np.float32)
            expected[f"log_probs_{i}"] = original.log_probs(model, features)
            expected[f"features_{i}"] = features
            if not tiny:
                expected[f"waveform_{i}"] = waveform
        np.savez_compressed(folder / "expected.npz", **expected)
        (folder / "mean_istd.json").unlink(missing_ok=True)
        if tiny:
            plain = {name: list(map(int, shape)) for name, shape in shapes.items()}
            (folder / "shapes.json").write_text(json.dumps(plain, indent=1) + "\n")
        else:
            original.save(model, write_belongings(args.toolkit, settings, folder, num_bins))
        print(folder, {key: value.shape for key, value in expected.items()})


if __name__ == "__main__":
    main()
