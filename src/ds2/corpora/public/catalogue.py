"""The list of corpora that `ds2 corpus prepare --list` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ds2.corpora.public.known import CORPORA
from ds2.corpora.public.lhotse_recipes import recipe_names

READ_HERE = (
    *("librispeech", "aishell", "thchs_30", "commonvoice", "tedlium"),
    *("ljspeech", "vctk", "musan"),
)
"""lhotse's names of corpora that have their own entries here."""


@dataclass(frozen=True)
class Entry:
    """A line of the list. Unknown facts are empty."""

    name: str
    language: str
    hours: str
    licence: str
    is_downloadable: bool


def entries_here() -> list[Entry]:
    """The corpora with official splits and figures."""
    return [
        Entry(c.name, c.language, c.num_hours, c.licence, bool(c.archives))
        for c in CORPORA.values()
    ]


def entries_of_lhotse() -> list[Entry]:
    """The other corpora of lhotse. Raises InputError if lhotse is not installed."""
    return [
        Entry(name.replace("_", "-"), *FACTS.get(name, ("", "", "")), is_downloadable)
        for name, is_downloadable in recipe_names().items()
        if name not in READ_HERE
    ]


FACTS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {  # by lhotse's name: language, hours, licence, as their makers state them
        "aishell3": ("zh", "85", "Apache 2.0"),
        "aishell4": ("zh", "120", "CC BY-SA 4.0"),
        "ali_meeting": ("zh", "118", "CC BY-SA 4.0"),
        "ami": ("en", "100", "CC BY 4.0"),
        "atcosim": ("en", "10", ""),
        "baker_zh": ("zh", "12", "non-commercial"),
        "bengaliai_speech": ("bn", "", ""),
        "broadcast_news": ("en", "", "LDC"),
        "but_reverb_db": ("rooms", "", "CC BY 4.0"),
        "callhome_egyptian": ("ar", "", "LDC"),
        "callhome_english": ("en", "", "LDC"),
        "cmu_arctic": ("en", "7", "free (CMU)"),
        "cmu_kids": ("en", "", "LDC"),
        "csj": ("ja", "660", "NINJAL"),
        "cslu_kids": ("en", "", "LDC"),
        "earnings21": ("en", "39", "CC BY-SA 4.0"),
        "earnings22": ("en", "119", "CC BY-SA 4.0"),
        "edacc": ("en", "40", ""),
        "eval2000": ("en", "", "LDC"),
        "fisher_english": ("en", "2,000", "LDC"),
        "fisher_spanish": ("es", "163", "LDC"),
        "fleurs": ("102 languages", "", "CC BY 4.0"),
        "gale_arabic": ("ar", "", "LDC"),
        "gale_mandarin": ("zh", "", "LDC"),
        "gigaspeech": ("en", "10,000", "non-commercial"),
        "hifitts": ("en", "292", "CC BY 4.0"),
        "icsi": ("en", "72", "CC BY 4.0"),
        "kespeech": ("zh", "1,542", ""),
        "ksponspeech": ("ko", "969", "AI Hub"),
        "l2_arctic": ("en", "27", "CC BY-NC 4.0"),
        "librilight": ("en", "60,000", "public domain"),
        "libritts": ("en", "585", "CC BY 4.0"),
        "librittsr": ("en", "585", "CC BY 4.0"),
        "magicdata": ("zh", "755", "CC BY-NC-ND 4.0"),
        "mgb2": ("ar", "1,200", ""),
        "mls": ("8 languages", "50,000", "CC BY 4.0"),
        "mtedx": ("8 languages", "", "CC BY-NC-ND 4.0"),
        "peoples_speech": ("en", "30,000", "CC BY, CC BY-SA"),
        "reazonspeech": ("ja", "35,000", "CDLA-Sharing 1.0"),
        "rir_noise": ("rooms, noise", "", "Apache 2.0"),
        "sbcsae": ("en", "20", "CC BY-ND 3.0"),
        "single_babel_language": ("", "", "LDC"),
        "speechcommands": ("en", "", "CC BY 4.0"),
        "spgispeech": ("en", "5,000", "Kensho"),
        "stcmds": ("zh", "", "CC BY-NC-ND 4.0"),
        "switchboard": ("en", "300", "LDC"),
        "tedlium2": ("en", "207", "CC BY-NC-ND 3.0"),
        "timit": ("en", "5", "LDC"),
        "voxpopuli": ("23 languages", "1,800", "CC0"),
        "wenet_speech": ("zh", "10,000", "non-commercial"),
        "wham": ("noise", "", "CC BY-NC 4.0"),
        "xbmu_amdo31": ("bo", "31", ""),
    }
)
"""Facts about lhotse's other corpora."""
