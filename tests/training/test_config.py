"""Settings of a run: good ones load, bad ones are refused, and messages name the key."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.model.places import FACTS
from ds2.training.config import (
    RunConfig,
    config_from_dict,
    config_to_dict,
    config_to_toml,
    load_config,
)
from ds2.training.data.examples import build_alphabet
from ds2.training.network.config import PRESETS

MINIMAL = '[data]\ntrain = ["train.jsonl"]\ndev = ["sub/dev.jsonl"]\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_defaults_fill_what_is_not_said_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL + '[training]\ninit_from = "old"\n'))
    assert config.data.train == (str(tmp_path / "train.jsonl"),)
    assert config.data.dev == (tmp_path / "sub" / "dev.jsonl",)
    assert config.training.init_from == tmp_path / "old"
    assert config.network == PRESETS["small"]


def test_a_run_can_begin_with_a_model_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    (models / "mine").mkdir(parents=True)
    (models / "mine" / FACTS).write_text("{}")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    toml = written(tmp_path / "sub", MINIMAL)

    def beginning(name: str) -> Path | None:
        path = written(tmp_path / "sub", MINIMAL + f'[training]\ninit_from = "{name}"\n')
        return load_config(path).training.init_from

    assert beginning("mine") == models / "mine"
    assert load_config(toml, ["training.init_from=mine"]).training.init_from == models / "mine"
    assert beginning("absent") == tmp_path / "sub" / "absent"
    assert beginning("runs/mine") == tmp_path / "sub" / "runs" / "mine"
    (tmp_path / "sub" / "mine").mkdir()  # what lies beside the settings comes first
    assert beginning("mine") == tmp_path / "sub" / "mine"


def test_one_manifest_needs_no_brackets(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL), [f"data.dev={tmp_path}/one.jsonl"])
    assert config.data.dev == (tmp_path / "one.jsonl",)


def test_a_preset_is_changed_by_what_stands_beside_it(tmp_path: Path) -> None:
    text = MINIMAL + '[network]\npreset = "baseline"\nhidden_size = 96\n'
    network = load_config(written(tmp_path, text)).network
    assert network.hidden_size == 96
    assert network.num_recurrent == PRESETS["baseline"].num_recurrent
    assert network.bidirectional


def test_the_network_takes_its_bins_from_the_features(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL + "[features]\nwindow_ms = 10\n"))
    assert config.network.num_bins == config.features.num_bins == 81


def test_overrides_are_toml_values_and_bare_words_are_text(tmp_path: Path) -> None:
    overrides = [
        "training.learning_rate=3e-4",
        "training.optimiser=sgd",
        'training.freeze=["conv"]',
        "data.skip_bad=true",
        "network.preset=medium",
    ]
    config = load_config(written(tmp_path, MINIMAL), overrides)
    assert config.training.learning_rate == 3e-4
    assert config.training.optimiser == "sgd"
    assert config.training.freeze == ("conv",)
    assert config.data.skip_bad
    assert config.network == PRESETS["medium"]


def test_settings_survive_a_round_trip_through_json_and_toml(tmp_path: Path) -> None:
    overrides = ["data.language=zh", "network.hidden_size=7", 'data.noise=["a b\\"c.jsonl"]']
    config = load_config(written(tmp_path, MINIMAL), overrides)
    assert config_from_dict(config_to_dict(config), "x") == config
    assert load_config(written(tmp_path / ".", config_to_toml(config))) == config


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_toml_holds_every_character(name: str) -> None:
    config = config_from_dict({"data": {"train": [name], "dev": [name]}}, "x")
    assert config_from_dict(tomllib.loads(config_to_toml(config)), "x") == config


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[training]\nlerning_rate = 1", "training.lerning_rate"),
        ("[trainig]\nepochs = 1", "trainig"),
        ("[network]\nhiden = 1", "network.hiden"),
        ('[training]\nlearning_rate = "fast"', "training.learning_rate"),
        ('[training]\noptimiser = "adam"', "training.optimiser"),
        ("[training]\nepochs = 0", "epochs"),
        ("[training]\nlearning_rate = 0.0", "learning_rate"),
        ("[training]\nlearning_rate = nan", "learning_rate"),
        ("[training]\nmomentum = 1.0", "momentum"),
        ("[training]\ndev_every = 0", "dev_every"),
        ("[training]\naverage_last = 99", "average_last"),
        ("[training]\nema = 1.0", "ema"),
        ("[training]\nema = 0.9\naverage_last = 2", "average_last"),
        ("[training]\nlayer_decay = 0.0", "layer_decay"),
        ("[training]\nmuon_iterations = 0", "muon_iterations"),
        ("[training]\nhours = 0.0", "hours"),
        ("[training]\ndecay_hours = 1.0", "decay_hours"),
        ("[training]\nhours = 1.0\ndecay_hours = 2.0", "decay_hours"),
        ('[network]\npreset = "huge"', "network.preset"),
        ("[network]\nnum_bins = 7", "network.num_bins"),
        ("[features]\nwindow_ms = -1.0", "window_ms"),
        ("[features]\nwindow = 1", "features.window"),
        ("[augmentation]\nnoise_probability = 2.0", "noise_probability"),
        ("network = 3", "network"),
    ],
)
def test_what_cannot_be_is_refused_with_the_file_and_the_key(
    tmp_path: Path, text: str, named: str
) -> None:
    path = written(tmp_path, f"{text}\n{MINIMAL}")
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("batch_seconds = 0", "batch_seconds"),
        ("max_duration_s = 0.01", "max_duration_s"),
        ("num_workers = -1", "num_workers"),
        ('language = "zh"\nalphabet = "bigrams"', "alphabet"),
        ("train = []", "train"),
        ("train_shares = [0.5, 0.5]", "train_shares"),
        ("train_shares = [1.5]", "train_shares"),
        ("train = 3", "data.train"),
    ],
)
def test_impossible_data_settings_are_refused(tmp_path: Path, line: str, named: str) -> None:
    kept = [part for part in MINIMAL.splitlines() if part.split()[0] != line.split()[0]]
    with pytest.raises(InputError, match=named):
        load_config(written(tmp_path, "\n".join([*kept, line])))


def test_what_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.dev"):
        load_config(written(tmp_path, '[data]\ntrain = ["a"]\n'))
    with pytest.raises(InputError, match="data"):
        load_config(written(tmp_path, ""))
    with pytest.raises(InputError, match="not valid TOML"):
        load_config(written(tmp_path, "[data"))
    with pytest.raises(InputError, match="absent"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="--set epochs=3"):
        load_config(written(tmp_path, MINIMAL), ["epochs=3"])


def test_the_settings_are_one_frozen_whole(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    assert isinstance(config, RunConfig)
    assert hash(config) == hash(load_config(tmp_path / "run.toml"))


def test_an_alphabet_of_a_file_brings_its_language(tmp_path: Path) -> None:
    path = tmp_path / "alphabet.json"
    path.write_text(json.dumps({"kind": "characters", "language": "de", "symbols": [" ", "ß"]}))
    config = load_config(
        written(tmp_path, MINIMAL.replace("dev =", 'alphabet = "alphabet.json"\ndev ='))
    )
    assert config.data.alphabet_path == path
    assert config.data.language == "de"
    assert build_alphabet(config.data, []).symbols == (" ", "ß")
    assert load_config(written(tmp_path, config_to_toml(config))) == config
    other = load_config(written(tmp_path, MINIMAL), [f"data.alphabet={path}", "data.language=fr"])
    with pytest.raises(InputError, match=r"is for language de, but data\.language is fr"):
        build_alphabet(other.data, [])
    path.unlink()
    with pytest.raises(InputError, match=r"data\.alphabet: .*alphabet\.json: no such file"):
        load_config(written(tmp_path, MINIMAL), [f"data.alphabet={path}"])


@pytest.mark.parametrize("language", ["French", "", "en-US"])
def test_what_is_no_language_is_refused(tmp_path: Path, language: str) -> None:
    with pytest.raises(InputError, match="code of two or three small letters"):
        load_config(written(tmp_path, MINIMAL), [f'data.language="{language}"'])
