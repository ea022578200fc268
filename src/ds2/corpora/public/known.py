"""The public corpora: their places, their readers and their official figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ds2.corpora.public.an4 import read_an4
from ds2.corpora.public.common_voice import SPLITS as COMMON_VOICE_SPLITS
from ds2.corpora.public.common_voice import read_common_voice
from ds2.corpora.public.download import OPENSLR, Archive
from ds2.corpora.public.found import Asked, Found, Reader, Split
from ds2.corpora.public.lhotse_recipes import prepare
from ds2.corpora.public.readers import (
    read_aishell,
    read_librispeech,
    read_ljspeech,
    read_musan,
    read_tedlium,
    read_thchs_30,
    read_vctk,
)


@dataclass(frozen=True)
class Corpus:
    """A corpus that ds2 can read, with the facts about it."""

    name: str
    language: str
    licence: str
    read: Reader
    splits: tuple[Split, ...]
    roots: tuple[str, ...] = ("",)  # patterns of places below the directory
    archives: tuple[Archive, ...] = ()
    inner: str | None = None  # archives inside the archives
    source: str = ""  # advice where to get it, if ds2 cannot download it
    is_whole: bool = False  # ds2 can only read all splits together
    is_by_language: bool = False  # a root for each language, named after it
    is_read_by_lhotse: bool = True  # its preparer may take options
    hours: str = ""  # of the whole corpus, if the splits have no figures

    @property
    def num_hours(self) -> str:
        """Hours of all splits, as text."""
        return self.hours or f"{sum(split.hours or 0 for split in self.splits):,.0f}"


def lhotse_corpus(name: str) -> Corpus:
    """A corpus that lhotse prepares. ds2 knows nothing more about it."""

    def read(asked: Asked) -> Iterator[tuple[str, Found]]:
        options = (
            {"languages": asked.language, **asked.options} if asked.language else asked.options
        )
        asked.report(f"reading {name}", None)
        yield from prepare(name, asked.root, options).items()

    return Corpus(name, "", "", read, splits=())


def _split_archives(number: int, kind: str, checksums: Mapping[str, str]) -> tuple[Archive, ...]:
    """Archives of OpenSLR. Each holds a split and has its name.

    kind: of the checksums, "sha256" or "md5".
    """
    return tuple(
        Archive(f"{OPENSLR}{number}/{split}.tar.gz", splits=(split,), **{kind: checksum})
        for split, checksum in checksums.items()
    )


LIBRISPEECH = Corpus(
    name="librispeech",
    language="en",
    licence="CC BY 4.0",
    read=read_librispeech,
    roots=("", "LibriSpeech"),
    splits=(  # Panayotov et al., 2015, table 1; utterances: the archives
        Split("train-clean-100", "train-clean-100", 28_539, 100.6),
        Split("train-clean-360", "train-clean-360", 104_014, 363.6),
        Split("train-other-500", "train-other-500", 148_688, 496.7),
        Split("dev-clean", "dev-clean", 2_703, 5.4),
        Split("dev-other", "dev-other", 2_864, 5.1),
        Split("test-clean", "test-clean", 2_620, 5.4),
        Split("test-other", "test-other", 2_939, 5.1),
    ),
    archives=_split_archives(
        12,
        "sha256",
        {
            "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
            "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
            "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
            "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
            "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
            "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
            "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
        },
    ),
)
MINI_LIBRISPEECH = Corpus(
    name="mini-librispeech",
    language="en",
    licence="CC BY 4.0",
    read=read_librispeech,
    roots=("", "LibriSpeech"),
    splits=(
        Split("train-clean-5", "train-clean-5", 1_519, 5.3),
        Split("dev-clean-2", "dev-clean-2", 1_089, 2.0),
    ),
    archives=_split_archives(
        31,
        "md5",
        {
            "train-clean-5": "5df7d4e78065366204ca6845bb08f490",
            "dev-clean-2": "6d7ab67ac6a1d2c993d050e16d61080d",
        },
    ),
)
AISHELL = Corpus(
    name="aishell",
    language="zh",
    licence="Apache 2.0",
    read=read_aishell,
    roots=("", "aishell", ".."),
    splits=(
        Split("train", "data_aishell/wav/train", 120_098, 150.9),
        Split("dev", "data_aishell/wav/dev", 14_326, 18.1),
        Split("test", "data_aishell/wav/test", 7_176, 10.0),
    ),
    archives=(Archive(f"{OPENSLR}33/data_aishell.tgz", md5="2f494334227864a8a8fec932999db9d8"),),
    inner="data_aishell/wav/*.tar.gz",
    is_whole=True,
)
THCHS_30 = Corpus(
    name="thchs-30",
    language="zh",
    licence="Apache 2.0",
    read=read_thchs_30,
    roots=("", "thchs", ".."),
    splits=(  # the corpus's README
        Split("train", "data_thchs30/train", 10_000, 25.0),
        Split("dev", "data_thchs30/dev", 893, 2.23),
        Split("test", "data_thchs30/test", 2_495, 6.25),
    ),
    archives=(Archive(f"{OPENSLR}18/data_thchs30.tgz", md5="2d2252bde5c8429929e1841d4cb95e90"),),
    is_whole=True,
)
COMMON_VOICE = Corpus(
    name="common-voice",
    language="many",
    licence="CC0",
    read=read_common_voice,
    is_read_by_lhotse=False,
    splits=tuple(
        Split(name, f"{name}.tsv", is_usual=name in ("train", "dev", "test"))
        for name in COMMON_VOICE_SPLITS
    ),
    roots=("", "*", "cv-corpus-*/*"),
    is_by_language=True,
    source="https://datacollective.mozillafoundation.org gives it to users who log in",
    hours="1,000s",
)
TEDLIUM = Corpus(
    name="tedlium",
    language="en",
    licence="CC BY-NC-ND 3.0",
    read=read_tedlium,
    roots=("", "TEDLIUM_release-3"),
    splits=(  # release 3, "legacy": the talks of its README, the hours of Hernandez et al., 2018
        Split("train", "legacy/train", None, None, 2_351),
        Split("dev", "legacy/dev", None, None, 8),
        Split("test", "legacy/test", None, None, 11),
    ),
    archives=(
        Archive(
            f"{OPENSLR}51/TEDLIUM_release-3.tgz",
            sha256="ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb",
        ),
    ),
    hours="456",
)
AN4 = Corpus(
    name="an4",
    language="en",
    licence="free (CMU)",
    read=read_an4,
    is_read_by_lhotse=False,
    roots=("", "an4"),
    splits=(
        Split("train", "etc/an4_train.fileids", 948),
        Split("test", "etc/an4_test.fileids", 130),
    ),
    archives=(
        Archive(
            "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
            sha256="a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
        ),
    ),
    hours="1",
)
LJSPEECH = Corpus(
    name="ljspeech",
    language="en",
    licence="public domain",
    read=read_ljspeech,
    roots=("", "LJSpeech-1.1"),
    splits=(Split("all", "metadata.csv", 13_100, 23.9),),
    archives=(
        Archive(
            "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
            sha256="be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        ),
    ),
)
VCTK = Corpus(
    name="vctk",
    language="en",
    licence="CC BY 4.0",
    read=read_vctk,
    roots=("", "VCTK-Corpus-0.92", "VCTK-Corpus"),
    splits=(Split("all", "speaker-info.txt"),),
    archives=(
        Archive(
            "https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
            sha256="f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
        ),
    ),
    hours="44",
)
MUSAN = Corpus(
    name="musan",
    language="noise",
    licence="CC BY 4.0",
    read=read_musan,
    roots=("", "musan"),
    splits=(  # Snyder et al., 2015
        Split("noise", "noise", 930, 6.0),
        Split("music", "music", 660, 42.0),
        Split("speech", "speech", 426, 60.0),
    ),
    archives=(Archive(f"{OPENSLR}17/musan.tar.gz", md5="0c472d4fc0c5141eca47ad1ffeb2a7df"),),
)

CORPORA: Mapping[str, Corpus] = MappingProxyType(
    {
        corpus.name: corpus
        for corpus in (
            *(LIBRISPEECH, MINI_LIBRISPEECH, AISHELL, THCHS_30, COMMON_VOICE),
            *(TEDLIUM, AN4, LJSPEECH, VCTK, MUSAN),
        )
    }
)
"""The corpora with official splits and figures, by name."""
