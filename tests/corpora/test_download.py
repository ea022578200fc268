"""Fetch archives of corpora from a server that breaks off; verify and unpack them completely."""

import hashlib
import http.server
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aids import public_corpora as layouts
from ds2.cli import main
from ds2.corpora.public.download import Archive, fetch_archive
from ds2.corpora.public.prepare import Request, corpus_named, prepare
from ds2.corpora.public.unpack import is_unpacked, unpack
from ds2.errors import InputError
from ds2.manifest import read_manifest

pytest.importorskip("lhotse")


def run(*arguments: object) -> int:
    return main(["corpus", "prepare", *map(str, arguments)])


def silent(_stage: str, _fraction: float | None) -> None:
    pass


class Server(http.server.ThreadingHTTPServer):
    """Serves files from memory, and breaks off where a test wants it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []  # the numbers of bytes after which the next answers break off
        self.knows_ranges = True
        self.ranges: list[str | None] = []  # as they were asked for

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        data = self.server.files.get(self.path.lstrip("/"))
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if data is None:
            self.send_error(404)
            return
        begin = int(asked[6:-1]) if asked and self.server.knows_ranges else 0
        if begin >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        end = begin + self.server.breaks.pop(0) if self.server.breaks else len(data)
        self.wfile.write(data[begin:end])
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


DATA = bytes(range(256)) * 4096


def archive_of(server: Server, data: bytes = DATA) -> Archive:
    server.files["data.tgz"] = data
    return Archive(server.url("data.tgz"), sha256=hashlib.sha256(data).hexdigest())


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(
    tmp_path: Path, server: Server
) -> None:
    archive = archive_of(server)
    server.breaks = [300_000, 400_000]
    fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert server.ranges == [None, "bytes=300000-", "bytes=700000-"]
    assert (tmp_path / "data.tgz").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["data.tgz"]


def test_a_later_run_goes_on_with_what_an_earlier_one_left(tmp_path: Path, server: Server) -> None:
    archive = archive_of(server)
    server.breaks = [500_000, 0, 0, 0, 0, 0]
    with pytest.raises(
        InputError, match=r"broke off: run again to continue after the 500,000 bytes"
    ):
        fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert [path.name for path in tmp_path.iterdir()] == ["data.tgz.part"]
    server.ranges.clear()
    fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert server.ranges == ["bytes=500000-"]
    assert (tmp_path / "data.tgz").read_bytes() == DATA


def test_a_server_without_ranges_sends_everything_again(tmp_path: Path, server: Server) -> None:
    archive = archive_of(server)
    server.breaks, server.knows_ranges = [300_000], False
    fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert (tmp_path / "data.tgz").read_bytes() == DATA


def test_a_part_that_is_whole_already_is_taken(tmp_path: Path, server: Server) -> None:
    archive = archive_of(server)
    (tmp_path / "data.tgz.part").write_bytes(DATA)
    fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert (tmp_path / "data.tgz").read_bytes() == DATA


def test_a_part_of_something_longer_is_thrown_away(tmp_path: Path, server: Server) -> None:
    archive = archive_of(server)
    (tmp_path / "data.tgz.part").write_bytes(DATA + b"and more")
    fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert (tmp_path / "data.tgz").read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, server: Server) -> None:
    archive = replace(archive_of(server), sha256="0" * 64)
    with pytest.raises(
        InputError, match=r"does not have the checksum of data.tgz, so ds2 removed it"
    ):
        fetch_archive(archive, tmp_path / "data.tgz", silent, wait_s=0)
    assert not list(tmp_path.iterdir())
    (tmp_path / "data.tgz").write_bytes(DATA[:1000])
    with pytest.raises(
        InputError, match=r"data.tgz: does not have the checksum .* remove it and run"
    ):
        fetch_archive(archive, tmp_path / "data.tgz", silent)


def test_what_the_server_does_not_have_is_said_with_its_address(
    tmp_path: Path, server: Server
) -> None:
    archive = Archive(server.url("resources/1/x.tgz"))
    with pytest.raises(InputError, match=r"/resources/1/x.tgz: the server answers 404"):
        fetch_archive(archive, tmp_path / "x.tgz", silent)
    with pytest.raises(InputError, match=r"^http://127.0.0.1:1/x.tgz: cannot be downloaded: "):
        fetch_archive(archive, tmp_path / "x.tgz", silent, mirror="http://127.0.0.1:1", wait_s=0)


def test_openslr_keeps_its_numbers_on_a_mirror() -> None:
    archive = corpus_named("librispeech").archives[3]
    assert archive.url == "https://www.openslr.org/resources/12/dev-clean.tar.gz"
    assert archive.at("https://a.org/b/") == "https://a.org/b/12/dev-clean.tar.gz"
    assert corpus_named("ljspeech").archives[0].at("http://a") == "http://a/LJSpeech-1.1.tar.bz2"


def downloaded(name: str, directory: Path, server: Server, data: bytes) -> Request:
    """A request that fetches a corpus from the test's server."""
    corpus = corpus_named(name)
    (archive,) = corpus.archives
    server.files[f"33/{archive.name}"] = data
    archive = replace(archive, md5=hashlib.md5(data).hexdigest())
    return Request(
        replace(corpus, archives=(archive,)),
        directory,
        downloads=True,
        mirror=server.url("").rstrip("/"),
        allows_incomplete=True,
    )


def test_aishell_is_fetched_unpacked_with_its_inner_archives_and_prepared(
    tmp_path: Path, server: Server
) -> None:
    data = layouts.packed_aishell(tmp_path / "made", tmp_path / "made" / "x.tgz")
    request = downloaded("aishell", tmp_path / "copy", server, data)
    server.breaks = [len(data) // 2]
    results = prepare(request, silent)
    assert [(entry.name, entry.num_utterances) for entry in results] == [
        ("train", 2),
        ("dev", 2),
        ("test", 2),
    ]
    assert not list(tmp_path.glob("copy/data_aishell/wav/*.tar.gz"))
    server.ranges.clear()
    prepare(request, silent)
    assert server.ranges == []


def test_what_a_mirror_sends_is_verified(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["17/musan.tar.gz"] = DATA
    url = server.url("17/musan.tar.gz")
    assert run("musan", tmp_path, "--download", "--mirror", server.url("")) == 2
    assert capsys.readouterr().err == (
        f"ds2: {url}: the download does not have the checksum of musan.tar.gz, so ds2 removed it: "
        "run again, or name another --mirror\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_truncated_archive_leaves_no_corpus(tmp_path: Path, server: Server) -> None:
    data = layouts.packed_aishell(tmp_path / "made", tmp_path / "made" / "x.tgz")
    request = downloaded("aishell", tmp_path / "copy", server, data[: len(data) // 2])
    with pytest.raises(InputError, match=r"data_aishell.tgz: is damaged or cut off \(.*\): remove"):
        prepare(request, silent)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["data_aishell.tgz"]


def test_a_copy_that_was_unpacked_by_hand_is_not_fetched_again(
    tmp_path: Path, server: Server
) -> None:
    layouts.aishell(tmp_path)
    request = downloaded("aishell", tmp_path, server, b"")
    assert [entry.num_utterances for entry in prepare(request, silent)] == [2, 2, 2]
    assert server.ranges == []


def test_links_inside_an_archive_are_kept(tmp_path: Path) -> None:
    layouts.thchs_30(tmp_path / "made")
    archive = tmp_path / "data_thchs30.tgz"
    layouts.packed(tmp_path / "made" / "data_thchs30", archive)
    unpack(archive, silent)
    assert (tmp_path / "data_thchs30" / "test" / "D4_0.wav").is_symlink()
    assert run("thchs-30", tmp_path, "--allow-incomplete") == 0
    assert len(read_manifest(tmp_path / "test.jsonl")) == 2


def test_unpacking_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "data_aishell.tgz"
    layouts.packed_aishell(tmp_path / "made", archive)

    def interrupt(_stage: str, fraction: float | None) -> None:
        if fraction == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data_aishell.tgz", "made"]
    unpack(archive, silent, inner="data_aishell/wav/*.tar.gz")
    assert len(list(tmp_path.glob("data_aishell/wav/train/*/*.wav"))) == 2


def test_zip_archives_are_unpacked_whole_or_not_at_all(tmp_path: Path) -> None:
    layouts.vctk(tmp_path / "made")
    shutil.make_archive(str(tmp_path / "VCTK"), "zip", tmp_path / "made" / "VCTK-Corpus-0.92")
    shutil.rmtree(tmp_path / "made")
    data = (tmp_path / "VCTK.zip").read_bytes()
    (tmp_path / "VCTK.zip").write_bytes(data[:-1000])
    with pytest.raises(InputError, match=r"VCTK.zip: is damaged or cut off"):
        unpack(tmp_path / "VCTK.zip", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["VCTK.zip"]
    (tmp_path / "VCTK.zip").write_bytes(data)
    unpack(tmp_path / "VCTK.zip", silent)
    assert run("vctk", tmp_path, "--allow-incomplete") == 0
    assert len(read_manifest(tmp_path / "all.jsonl")) == 4


def test_an_archive_cannot_write_outside_its_directory(tmp_path: Path) -> None:
    archive = tmp_path / "inner" / "x.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(InputError, match=r"x.tar.gz: would write outside its directory"):
        unpack(archive, silent)
    assert not (tmp_path / "outside").exists()


def test_only_the_archives_of_the_splits_asked_for_are_fetched(
    tmp_path: Path, server: Server
) -> None:
    layouts.librispeech(tmp_path / "made", ["dev-clean"])
    data = layouts.packed(tmp_path / "made" / "LibriSpeech", tmp_path / "made" / "x.tar.gz")
    server.files["12/dev-clean.tar.gz"] = data
    corpus = corpus_named("librispeech")
    archives = tuple(replace(archive, sha256=None) for archive in corpus.archives)
    request = Request(
        replace(corpus, archives=archives),
        tmp_path / "copy",
        splits=["dev-clean"],
        downloads=True,
        mirror=server.url(""),
        allows_incomplete=True,
    )
    (result,) = prepare(request, silent)
    assert (result.name, result.num_utterances) == ("dev-clean", 4)
    assert len(server.ranges) == 1


def test_an_archive_is_unpacked_into_what_is_there(tmp_path: Path) -> None:
    layouts.librispeech(tmp_path, ["dev-clean"])
    layouts.librispeech(tmp_path / "made", ["test-clean"])
    archive = tmp_path / "test-clean.tar.gz"
    layouts.packed(tmp_path / "made" / "LibriSpeech", archive)
    unpack(archive, silent)
    assert is_unpacked(archive)
    names = sorted(path.name for path in (tmp_path / "LibriSpeech").iterdir())
    assert names == ["SPEAKERS.TXT", "dev-clean", "test-clean"]
