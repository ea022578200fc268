"""Which arithmetic and which device a model gets, and what cannot be had."""

from dataclasses import replace
from pathlib import Path

import pytest

from aids.models import READY, TINY
from ds2.cli import main
from ds2.errors import InputError
from ds2.model import computing
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import ModelFacts, load_bundle
from ds2.model.computing import choose_arithmetic
from ds2.model.inference import choose_place, onnxruntime
from ds2.recognition.recognizer import Recognizer

FACTS = ModelFacts(True, 3, 15, 47, 5_000_000, "int8")
SAMPLE = Path(__file__).parents[2] / "samples" / "en-1.ogg"
GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
CORES = ["AzureExecutionProvider", "CPUExecutionProvider"]
has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sets what Linux says of the processor; None is another system."""

    def set_flags(flags: str | None) -> None:
        path = tmp_path / "cpuinfo"
        if flags is not None:
            path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
        monkeypatch.setattr(computing, "PROCESSOR_FACTS", path)
        computing._processor_facts.cache_clear()

    yield set_flags
    computing._processor_facts.cache_clear()


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ("fpu avx2 avx512f avx512_vnni amx_int8", "int8"),
        ("fpu avx2 avx_vnni", "int8"),
        ("fpu avx2 avx512f", "float"),
        ("fp asimd asimddp", "float"),
        (None, "float"),
    ],
)
def test_the_processor_decides(processor, flags: str | None, wanted: str) -> None:
    processor(flags)
    assert choose_arithmetic("auto", FACTS).name == wanted


def test_what_else_decides(processor) -> None:
    processor("avx512_vnni")
    assert choose_arithmetic("float", FACTS).name == "float"
    assert choose_arithmetic("auto", replace(FACTS, weights="float16")).name == "float"
    assert choose_arithmetic("auto", replace(FACTS, streaming=False)).name == "float"
    assert choose_arithmetic("auto", replace(FACTS, arithmetic="float")).name == "float"
    assert choose_arithmetic("auto", FACTS, "cuda").name == "float"
    processor("avx2")
    assert choose_arithmetic("int8", FACTS).name == "int8"
    assert choose_arithmetic("auto", replace(FACTS, arithmetic="int8")).name == "int8"
    assert choose_arithmetic("float", replace(FACTS, arithmetic="int8")).name == "float"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="arithmetic int4: no such arithmetic: choose one of auto"):
        Recognizer.load(READY["en", TINY], arithmetic="int4")
    with pytest.raises(InputError, match="device tpu: no such device: choose one of auto"):
        Recognizer.load(READY["en", TINY], device="tpu")
    with pytest.raises(InputError, match="arithmetic int8: is for processors"):
        choose_arithmetic("int8", FACTS, "cuda")


def test_a_graphics_card_is_taken_where_onnxruntime_knows_them() -> None:
    assert [choose_place(device, GPU) for device in ("auto", "cpu", "cuda")] == [
        "cuda",
        "cpu",
        "cuda",
    ]
    assert [choose_place(device, CORES) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(InputError, match=r"device cuda: .* pip install onnxruntime-gpu"):
        choose_place("cuda", CORES)


@pytest.mark.skipif(has_cuda, reason="this onnxruntime knows graphics cards")
def test_a_graphics_card_that_is_not_there_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = str(READY["en", TINY])
    assert AcousticModel(load_bundle(model)).place == "cpu"
    assert main(["transcribe", str(SAMPLE), "-m", model, "--device", "cuda"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "device cuda: this onnxruntime knows no graphics cards: pip uninstall" in err


@pytest.mark.skipif(not has_cuda, reason="this onnxruntime knows no graphics cards")
def test_a_graphics_card_gives_the_text_of_the_cores() -> None:
    texts = [
        Recognizer.load("en", device=device, arithmetic="float").transcribe(SAMPLE).text
        for device in ("cpu", "cuda")
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("arithmetic", ["float", "int8"])
def test_the_commands_take_the_arithmetic(
    arithmetic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--verbose", "transcribe", str(SAMPLE), "-m", "en", "--arithmetic", arithmetic]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out.startswith("could you please come back")
    assert f"arithmetic: {arithmetic} (as asked), on cpu" in err


def test_a_bundle_s_facts_tell_its_arithmetic(
    processor, capsys: pytest.CaptureFixture[str]
) -> None:
    processor("avx_vnni")
    assert main(["info", "en"]) == 0
    assert "int8: this processor has avx_vnni" in capsys.readouterr().out


def test_a_server_decides_itself(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["transcribe", str(SAMPLE), "--server", "http://127.0.0.1:9"]
    assert main([*command, "--device", "cpu"]) == 2
    assert "leave out --device" in capsys.readouterr().err
    assert main([*command, "--arithmetic", "int8"]) == 2
    assert "leave out --arithmetic" in capsys.readouterr().err
