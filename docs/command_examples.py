"""An example or two of each command, for the command reference.

`tests/documentation/test_commands.py` runs them, in their order, but for those that it names.
"""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "ds2 transcribe": (
        "ds2 transcribe samples/en-1.ogg",
        "ds2 transcribe samples -m en -f all -o out",
    ),
    "ds2 listen": ("ds2 listen -m en",),
    "ds2 serve": ("ds2 serve -m en -m zh --port 8000",),
    "ds2 info": ("ds2 info en",),
    "ds2 models": ("ds2 models",),
    "ds2 models get": ("ds2 models get https://example.org/big-en.tar.gz --name big",),
    "ds2 show": ("ds2 show samples/en-1.ogg -m en -o out/en-1.png",),
    "ds2 evaluate": ("ds2 evaluate samples/manifest-en.jsonl -m en --html out/report.html",),
    "ds2 align": ("ds2 align samples/manifest-en.jsonl -m en -f all -o out/aligned",),
    "ds2 check": ("ds2 check samples/manifest-en.jsonl",),
    "ds2 corpus import": ("ds2 corpus import recordings --texts transcripts.csv -o all.jsonl",),
    "ds2 corpus prepare": (
        "ds2 corpus prepare --list",
        "ds2 corpus prepare mini-librispeech data/mini --download",
    ),
    "ds2 corpus alphabet": ("ds2 corpus alphabet samples/manifest-zh.jsonl -o out/alphabet.json",),
    "ds2 corpus align": ("ds2 corpus align samples/manifest-en.jsonl -m en -o out/aligned.jsonl",),
    "ds2 corpus segment": ("ds2 corpus segment out/aligned.jsonl -o out/cut.jsonl",),
    "ds2 corpus filter": ("ds2 corpus filter cut.jsonl -m en -o kept.jsonl --plot kept.png",),
    "ds2 corpus split": ("ds2 corpus split all.jsonl --dev 10% --test 10% -o splits",),
    "ds2 corpus stats": ("ds2 corpus stats samples/manifest-en.jsonl -o out/stats.html",),
    "ds2 corpus synthesise": (
        "ds2 corpus synthesise samples/texts-en.txt --engine espeak-ng -o out/synthetic",
    ),
    "ds2 corpus transcribe": (
        "ds2 corpus transcribe samples/manifest-en.jsonl -m en -o out/recognised.jsonl",
    ),
    "ds2 corpus shard": ("ds2 corpus shard samples/manifest-en.jsonl -o out/shards",),
    "ds2 train": ("ds2 train my.toml -o runs/my", "ds2 train runs/my"),
    "ds2 export": ("ds2 export runs/my -o models/my --weights int8",),
    "ds2 import paddlespeech": ("ds2 import paddlespeech wenetspeech -o models/wenetspeech",),
    "ds2 import deepspeech.pytorch": (
        "ds2 import deepspeech.pytorch librispeech.pth -o models/librispeech",
    ),
    "ds2 import masr": (
        "ds2 import masr model.pt --config deepspeech2.yml --vocabulary vocabulary.txt "
        "-o models/masr",
    ),
    "ds2 import ppasr": (
        "ds2 import ppasr model.pdparams --config deepspeech2.yml --vocabulary vocabulary.txt "
        "-o models/ppasr",
    ),
    "ds2 lm build": (
        "ds2 lm build samples/texts-en.txt -o out/lm.bin --order 3 --discount-fallback",
    ),
    "ds2 lm convert": ("ds2 lm convert out/lm.bin -o out/lm.arpa",),
    "ds2 lm score": ("ds2 lm score out/lm.bin samples/texts-en.txt",),
    "ds2 lm perplexity": ("ds2 lm perplexity out/lm.bin samples/texts-en.txt",),
    "ds2 lm info": ("ds2 lm info out/lm.bin",),
    "ds2 lm interpolate": ("ds2 lm interpolate domain.bin general.bin --dev dev.txt -o lm.bin",),
    "ds2 lm prune": ("ds2 lm prune out/lm.bin -o out/small.bin --threshold 1e-5",),
    "ds2 lm tune": ("ds2 lm tune dev.jsonl -m models/my --lm lm.bin",),
    "ds2 bundle add-lm": ("ds2 bundle add-lm en out/lm.bin -o out/with-lm",),
    "ds2 bundle remove-lm": ("ds2 bundle remove-lm en -o out/without-lm",),
    "ds2 warm-up": ("ds2 warm-up",),
    "ds2 completion": ("ds2 completion bash",),
}
"""Command lines by the full name of the command."""
