"""Languages: their codes, their names, and the languages that are written without spaces."""

import re

from ds2.errors import InputError

UNSPACED = frozenset(["bo", "dz", "ja", "km", "lo", "my", "th", "yue", "zh"])
"""Languages without spaces between words: their unit is the character."""

NAMES = {
    "af": "afrikaans",
    "am": "amharic",
    "ar": "arabic",
    "as": "assamese",
    "az": "azerbaijani",
    "be": "belarusian",
    "bg": "bulgarian",
    "bn": "bengali",
    "bo": "tibetan",
    "br": "breton",
    "bs": "bosnian",
    "ca": "catalan",
    "cs": "czech",
    "cy": "welsh",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "gl": "galician",
    "gu": "gujarati",
    "ha": "hausa",
    "he": "hebrew",
    "hi": "hindi",
    "hr": "croatian",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "ig": "igbo",
    "is": "icelandic",
    "it": "italian",
    "ja": "japanese",
    "ka": "georgian",
    "kk": "kazakh",
    "km": "khmer",
    "kn": "kannada",
    "ko": "korean",
    "ky": "kyrgyz",
    "la": "latin",
    "lb": "luxembourgish",
    "lo": "lao",
    "lt": "lithuanian",
    "lv": "latvian",
    "mi": "maori",
    "mk": "macedonian",
    "ml": "malayalam",
    "mn": "mongolian",
    "mr": "marathi",
    "ms": "malay",
    "mt": "maltese",
    "my": "burmese",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "oc": "occitan",
    "or": "odia",
    "pa": "punjabi",
    "pl": "polish",
    "ps": "pashto",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "rw": "kinyarwanda",
    "si": "sinhala",
    "sk": "slovak",
    "sl": "slovenian",
    "so": "somali",
    "sq": "albanian",
    "sr": "serbian",
    "sv": "swedish",
    "sw": "swahili",
    "ta": "tamil",
    "te": "telugu",
    "tg": "tajik",
    "th": "thai",
    "tl": "tagalog",
    "tr": "turkish",
    "tt": "tatar",
    "uk": "ukrainian",
    "ur": "urdu",
    "uz": "uzbek",
    "vi": "vietnamese",
    "yo": "yoruba",
    "yue": "cantonese",
    "zh": "chinese",
    "zu": "zulu",
}
"""English names of languages by code. Other codes are languages, too."""

_LONG_CODES = """
af:afr am:amh ar:ara as:asm az:aze be:bel bg:bul bn:ben bo:bod,tib br:bre bs:bos ca:cat cs:ces,cze
cy:cym,wel da:dan de:deu,ger el:ell,gre en:eng eo:epo es:spa et:est eu:eus,baq fa:fas,per fi:fin
fr:fra,fre ga:gle gl:glg gu:guj ha:hau he:heb hi:hin hr:hrv hu:hun hy:hye,arm id:ind ig:ibo
is:isl,ice it:ita ja:jpn ka:kat,geo kk:kaz km:khm kn:kan ko:kor ky:kir la:lat lb:ltz lo:lao lt:lit
lv:lav mi:mri,mao mk:mkd,mac ml:mal mn:mon mr:mar ms:msa,may mt:mlt my:mya,bur ne:nep nl:nld,dut
no:nor,nob,nno oc:oci or:ori,ory pa:pan pl:pol ps:pus pt:por ro:ron,rum ru:rus rw:kin si:sin
sk:slk,slo sl:slv so:som sq:sqi,alb sr:srp sv:swe sw:swa,swh ta:tam te:tel tg:tgk th:tha tl:tgl,fil
tr:tur tt:tat uk:ukr ur:urd uz:uzb vi:vie yo:yor zh:zho,chi,cmn zu:zul
"""
"""Codes of three letters (ISO 639-2, both kinds, and some of ISO 639-3); films have such codes."""

_CODES = (
    {name: code for code, name in NAMES.items()}
    | {
        long_code: pair.split(":")[0]
        for pair in _LONG_CODES.split()
        for long_code in pair.split(":")[1].split(",")
    }
    | {
        "mandarin": "zh",
        "farsi": "fa",
        "jp": "ja",
        "castilian": "es",
        "flemish": "nl",
        "filipino": "tl",
    }
)

_NO_LANGUAGE = ("und", "mul", "mis", "zxx")  # codes for unknown, several or no languages


def language_of_name(name: str) -> str | None:
    """The code for a name: "de" for "de", "de-DE", "de_AT.UTF-8", "deu" and "German".

    None if the name is not a language.
    """
    first = re.split(r"[-_.\s]", name.strip().lower())[0]
    code = _CODES.get(first, first)
    return code if re.fullmatch("[a-z]{2,3}", code) and code not in _NO_LANGUAGE else None


def check_language(code: str) -> str:
    """The code itself. Raises InputError unless it has two or three small letters."""
    if re.fullmatch("[a-z]{2,3}", code):
        return code
    meant = language_of_name(code)
    hint = f", such as {meant}" if meant else ", such as en, zh, de or ru"
    raise InputError(f'language "{code}": it must be a code of two or three small letters{hint}')
