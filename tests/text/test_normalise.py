"""Transcripts as people write them become texts in the alphabet's style."""

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.text.alphabet import english_characters
from ds2.text.language import language_of_name
from ds2.text.normalise import folded_letters, normalise

DATA = Path(__file__).parents[3] / "shared" / "data"

raw_texts = st.text() | st.text(
    st.sampled_from("019,.:/-–%$€°#&+= 'aiseA·～½年月日点个万第²〇两裏髮")
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(text=raw_texts, language=st.sampled_from(["en", "zh"]))
def test_what_is_in_the_style_stays(text: str, language: str) -> None:
    styled = normalise(text, language)
    assert normalise(styled, language) == styled


@settings(deadline=None)
@given(text=st.text(st.characters(codec="ascii", exclude_categories=["S", "Cc"])))
def test_plain_english_always_comes_out_in_the_alphabet(text: str) -> None:
    text = re.sub(r"[\[\]{}#*_\\]", "", text)  # marks of annotators stay
    assert not english_characters().unspellable(normalise(text, "en"))


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")
def test_the_shared_texts_are_in_the_style() -> None:
    for path in DATA.glob("*/manifest.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = json.loads(line)
            if "text" in fields:
                assert normalise(fields["text"], fields["language"]) == fields["text"]


@pytest.mark.parametrize(
    ("raw", "styled"),
    [
        ("Hello, World! “It’s” fine — really…", "hello world it's fine really"),
        ("'em dogs' 'quoted' don`t rock 'n' roll", "em dogs quoted don't rock n roll"),
        ("the dogs' bones, 'quoted'", "the dogs' bones quoted"),
        ("two weeks' pay; the boss', she said", "two weeks' pay the boss' she said"),
        ("Nothin' doin'.", "nothin' doin'"),
        ("café naïve Straße Æsop Øre ﬁne", "cafe naive strasse aesop ore fine"),
        ("twenty-one U.S.A. and/or", "twenty one u s a and or"),
        (
            "42 0 1,000 1,234,567",
            "forty two zero one thousand one million two hundred and "
            "thirty four thousand five hundred and sixty seven",
        ),
        ("in 1999, 1905, 2005", "in nineteen ninety nine nineteen oh five two thousand and five"),
        ("the 1990s and the '80s", "the nineteen nineties and the eighties"),
        (
            "3.5 0.05 .5 v1.2.3",
            "three point five zero point zero five point five v one point two point three",
        ),
        (
            "$20 $1 $3.50 $0.99",
            "twenty dollars one dollar three dollars and fifty cents ninety nine cents",
        ),
        (
            "$3.5 million £5k 20€ ¥100",
            "three point five million dollars five thousand pounds twenty euros one hundred yen",
        ),
        ("50% 99.9 %", "fifty percent ninety nine point nine percent"),
        ("1st 2nd 23rd 100th", "first second twenty third one hundredth"),
        ("10:30 10:05 10:00 5pm 5:00 p.m.", "ten thirty ten oh five ten o'clock five p m five p m"),
        ("½ 2½ 3/4 24/7", "one half two and one half three quarters twenty four seven"),
        ("555-1234 007", "five five five one two three four zero zero seven"),
        ("1914–1918 -5°C", "nineteen fourteen to nineteen eighteen minus five degrees celsius"),
        ("R&B a@b 1+1=2 #5", "r and b a at b one plus one equals two number five"),
        (
            "$5 dollars €3.50 euros, £2 million pounds",
            "five dollars three point five zero euros two million pounds",
        ),
        ("5% percent 5°C degrees 10:00 o'clock", "five percent five degrees celsius ten o'clock"),
        ("number #5, minus -3", "number five minus three"),
        ("ＦＵＬＬ　width", "full width"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("", ""),
    ],
)
def test_english(raw: str, styled: str) -> None:
    assert normalise(raw, "en") == styled


@pytest.mark.parametrize(
    ("raw", "styled"),
    [
        ("“你好”！……《书》·名", "你好书名"),
        ("漢字 裏面 乾隆 頭髮 後來", "汉字里面乾隆头发后来"),
        ("１９９９年，他３岁。", "一九九九年他三岁"),
        ("2008年8月8日晚上8点", "二零零八年八月八日晚上八点"),
        ("2020-05-06", "二零二零年五月六日"),
        ("50% -3.5% 5‰", "百分之五十负百分之三点五千分之五"),
        ("3.14 1,000 10010 2.5亿", "三点一四一千一万零一十二点五亿"),
        ("2个 第2个 12个 2000 20000", "两个第二个十二个两千两万"),
        ("10:30 2:05 10:00", "十点三十分两点零五分十点"),
        ("$20 ¥2万 €3.5", "二十美元两万元三点五欧元"),
        ("3/4 2½ 24/7", "四分之三二又二分之一二十四七"),
        ("3~5天 3-5天 3:2获胜", "三到五天三到五天三比二获胜"),
        ("-5℃ 1+1=2", "负五摄氏度一加一等于二"),
        ("13800138000 007 100000000", "一三八零零一三八零零零零零七一亿"),
        ("Hello,World 你好 NBA 很 好 it’s OK", "hello world你好nba很好it's ok"),
        ("mp3 格式 ②", "mp三格式二"),
        ("¥45.50元 ￥3.5万元 $20万美元", "四十五点五零元三点五万元二十万美元"),
        ("￥100块钱 €5欧元 $5元", "一百块钱五欧元五美元"),
        ("百分之50% 20℃度 摄氏-20℃", "百分之五十二十摄氏度摄氏负二十度"),
        ("零下-5度 10:30分 3:05点", "零下五度十点三十分三点零五分"),
        ("", ""),
    ],
)
def test_mandarin(raw: str, styled: str) -> None:
    assert normalise(raw, "zh") == styled


def test_what_has_no_reading_is_kept_to_be_noticed() -> None:
    assert normalise("[noise] <unk> 你好 ♥ f*** $", "en") == "[noise] <unk> 你好 ♥ f*** $"
    assert normalise("[noise] 你♥好 @", "zh") == "[noise]你♥好@"


@pytest.mark.parametrize(
    ("raw", "language", "styled"),
    [
        ("Die Straße, über Äpfel – „so'n“ Ding!", "de", "die straße über äpfel so'n ding"),
        ("'Zitat' Hans' Auto", "de", "zitat hans' auto"),
        ("L’été ‘cité’ ﬁn cafe\u0301", "fr", "l'été cité fin café"),
        ("Привет, Мир! Ёлка.", "ru", "привет мир ёлка"),
        ("Об’єкт", "uk", "об'єкт"),
        ("İSTANBUL ILIK", "tr", "istanbul ılık"),
        ("ISTANBUL", "de", "istanbul"),
        ("Ο ΣΟΦΟΣ;", "el", "ο σοφος"),
        ("col·lega · ok", "ca", "col·lega ok"),
        ("Tiếng Việt", "vi", "tiếng việt"),
        ("می\u200cخواهم\u200c، كتـــاب", "fa", "می\u200cخواهم كتاب"),
        ("हिन्दी में।", "hi", "हिन्दी में"),
        ("ＡＢＣ　ｶﾞｱ、カフェ。hello world 日本", "ja", "abcガアカフェhello world日本"),
        ("สวัสดี ครับ", "th", "สวัสดีครับ"),
        ("안녕하세요, 세계!", "ko", "안녕하세요 세계"),
        ("3 % m² ½ № 5 § 1", "de", "3 % m² ½ № 5 § 1"),  # without a reading, so it stays
    ],
)
def test_other_languages_go_by_the_rules_of_unicode(raw: str, language: str, styled: str) -> None:
    assert normalise(raw, language) == styled
    assert normalise(styled, language) == styled


@settings(deadline=None, max_examples=300)
@given(
    text=st.text() | st.text(st.sampled_from("aßİIıΣς' ’·״\u200c\u200d\u0301\u0307ـ§%ﷺﬁ١１ｱﾞ-.י")),
    language=st.sampled_from(["de", "tr", "el", "fa", "ja", "th"]),
)
def test_what_is_in_the_style_of_any_language_stays(text: str, language: str) -> None:
    styled = normalise(text, language)
    assert normalise(styled, language) == styled
    assert unicodedata.is_normalized("NFC", styled)


def test_letters_that_english_loses_are_told() -> None:
    assert folded_letters("Straße ÜBER Ælfric naïve") == {"ß", "ü", "æ", "ï"}
    assert folded_letters("plain 你好 Привет “it’s” ½ 5€") == set()


@pytest.mark.parametrize("language", ["French", "", "e", "en-us", "engl", "EN"])
def test_what_is_no_language_is_refused(language: str) -> None:
    with pytest.raises(InputError, match="it must be a code of two or three small letters"):
        normalise("oui", language)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(("de", "de"), ("de-DE", "de"), ("de_AT.UTF-8", "de"), (" German ", "de")),
        *(("cmn", "zh"), ("zh-Hans", "zh"), ("Mandarin", "zh"), ("yue", "yue")),
        *(("", None), ("und", None), ("unknown", None), ("x", None), ("42", None)),
    ],
)
def test_names_of_languages_are_understood(name: str, code: str | None) -> None:
    assert language_of_name(name) == code


def test_importing_the_module_does_not_load_the_number_words() -> None:
    loaded = "{'num2words','cn2an','opencc'} & set(sys.modules)"
    code = f"import sys, ds2.text.normalise; assert not {loaded}"
    subprocess.run([sys.executable, "-c", code], check=True)
