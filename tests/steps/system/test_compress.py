"""compress: packing and unpacking."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import resource
import shutil
import stat
import subprocess
import tarfile
import threading
import zipfile
from datetime import UTC, datetime

import pytest
import zstandard
from pydantic import ValidationError

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps.sdk import StepError, StepRefused
from rustchain_airflow.steps.system.archive import Allowance
from rustchain_airflow.steps.system.unpacking import link_stays_inside

FORMATS = ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"]
FILES = {"data/a.txt": "hello\n" * 500, "data/sub/b.bin": bytes(range(256)), "data/empty": "", "data/ümläut ☃": "x"}


def tree(root):
    """Every name below a folder, with what is there."""
    return {
        str(path.relative_to(root)): (
            ("link", os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
        )
        for path in sorted(root.rglob("*"))
    }


def tar_of(*members):
    """A tar archive with exactly these members: (name, content) or a TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def tar_member(name, kind, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def zip_of(*members):
    """A zip archive with exactly these members: (name, content, mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr, info.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def extract(run, content, suffix="tar", **parameters):
    return run(
        "compress",
        {"action": "extract", "source": f"x.{suffix}", "destination": "out", **parameters},
        files={f"x.{suffix}": content},
    )


class TestRoundTrip:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_there_and_back(self, run, workspace, kind):
        """What is packed comes back as it was: names, content, links, permissions, empty folders."""
        root = workspace.root
        for name, content in FILES.items():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        (root / "data/hollow").mkdir()
        (root / "data/link").symlink_to("sub/b.bin")
        (root / "data/sub/up").symlink_to("../a.txt")
        (root / "data/run.sh").write_text("#!/bin/sh\n")
        (root / "data/run.sh").chmod(0o750)
        (root / "data/sub").chmod(0o711)
        packed = run("compress", {"source": "data", "destination": f"archives/data.{kind}"})
        size = (root / f"archives/data.{kind}").stat().st_size
        original = 3000 + 256 + 1 + 10
        assert packed == {
            "destination": f"archives/data.{kind}",
            "format": kind,
            "files": 7,
            "size": size,
            "original_size": original,
            "ratio": round(original / size, 3),
        }
        unpacked = run("compress", {"action": "extract", "source": f"archives/data.{kind}", "destination": "back"})
        assert unpacked == {**packed, "destination": "back"}
        assert tree(root / "back" / "data") == tree(root / "data")
        assert stat.S_IMODE((root / "back/data/run.sh").stat().st_mode) == 0o750
        assert stat.S_IMODE((root / "back/data/sub").stat().st_mode) == 0o711

    @pytest.mark.parametrize("kind", FORMATS)
    def test_other_tools_agree(self, run, workspace, tmp_path, kind):
        """The system's own tools read our archives, and we read theirs."""
        tool = {"tar.zst": "zstd", "zip": "zip"}.get(kind, "tar")
        if not shutil.which(tool) or (kind == "zip" and not shutil.which("unzip")):
            pytest.skip(f"{tool} is not installed")
        run("compress", {"source": "data", "destination": f"ours.{kind}"}, files=FILES)
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        if kind == "zip":
            subprocess.run(["unzip", "-q", workspace.root / "ours.zip", "-d", theirs], check=True)
            subprocess.run(["zip", "-qry", workspace.root / "theirs.zip", "data"], cwd=workspace.root, check=True)
        else:
            subprocess.run(["tar", "-xf", workspace.root / f"ours.{kind}", "-C", theirs], check=True)
            subprocess.run(["tar", "-caf", f"theirs.{kind}", "data"], cwd=workspace.root, check=True)
        assert tree(theirs / "data") == tree(workspace.root / "data")
        run("compress", {"action": "extract", "source": f"theirs.{kind}", "destination": "back"})
        assert tree(workspace.root / "back" / "data") == tree(workspace.root / "data")

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("a.tgz", "tar.gz"), ("a.TBZ2", "tar.bz2"), ("a.txz", "tar.xz"), ("a.tzst", "tar.zst"), ("a.b.zip", "zip")],
    )
    def test_suffixes(self, run, name, kind):
        """The suffix says the format."""
        assert run("compress", {"source": "f", "destination": name}, files={"f": "x"})["format"] == kind

    @pytest.mark.parametrize("given", ["tar.gz", "tgz", ".tar.gz", "TAR.GZ"])
    def test_format(self, run, workspace, given):
        """format says it where the suffix does not."""
        run("compress", {"source": "f", "destination": "backup", "format": given}, files={"f": "x"})
        assert gzip.decompress((workspace.root / "backup").read_bytes())[:1] == b"f"

    @pytest.mark.parametrize("kind", FORMATS[1:])
    def test_level(self, run, kind):
        """The level reaches the compressor, and one the format lacks is refused."""
        text = "".join(f"{number * 7919 % 1000} line {number}\n" for number in range(20000))
        low, high = (1, 19) if kind == "tar.zst" else (1, 9)
        sizes = [
            run("compress", {"source": "f", "destination": f"{level}.{kind}", "level": level}, files={"f": text})[
                "size"
            ]
            for level in (low, high)
        ]
        assert sizes[1] != sizes[0]
        with pytest.raises(StepRefused, match=rf"level of {kind} is"):
            run("compress", {"source": "f", "destination": f"x.{kind}", "level": 99})


class TestPacking:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_same_bytes(self, run, workspace, kind):
        """The same files with the same times give the same bytes, in whatever order they were made."""
        made = []
        for place, names in (("one", ["b", "a", "c/z", "c/y"]), ("two", ["c/y", "c/z", "a", "b"])):
            folder = workspace.root / place / "data"
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(name)
            for path in [folder, *folder.rglob("*")]:
                os.utime(path, (1_700_000_000, 1_700_000_000))
            run("compress", {"source": f"{place}/data", "destination": f"{place}.{kind}"})
            made.append((workspace.root / f"{place}.{kind}").read_bytes())
        assert made[0] == made[1]

    def test_owner_is_left_out(self, run, workspace):
        """Who packed is nobody's business."""
        run("compress", {"source": "f", "destination": "x.tar"}, files={"f": "x"})
        with tarfile.open(workspace.root / "x.tar") as tar:
            (member,) = tar.getmembers()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")

    def test_several_sources(self, run, workspace):
        """A list is packed in its order, each under its own name."""
        output = run(
            "compress",
            {"source": ["z.txt", "deep/inner", "a.txt"], "destination": "x.tar"},
            files={"z.txt": "z", "deep/inner/f": "f", "a.txt": "a"},
        )
        with tarfile.open(workspace.root / "x.tar") as tar:
            assert tar.getnames() == ["z.txt", "inner", "inner/f", "a.txt"]
        assert output["files"] == 3

    @pytest.mark.parametrize("sources", [["a/f", "b/f"], ["a/f", "a/f"], [".", "a"]])
    def test_same_name_twice(self, run, workspace, sources):
        """Two sources of one name would become one; that is refused, and nothing is written."""
        with pytest.raises(StepRefused, match=r"two sources are called"):
            run("compress", {"source": sources, "destination": "x.zip"}, files={"a/f": "1", "b/f": "2"})
        assert not (workspace.root / "x.zip").exists()

    def test_whole_workspace(self, run, workspace, context):
        """The workspace itself is packed without the archive, an older one included, and without our own records."""
        files = {"a": "a", "d/b": "b", ".rustchain/processes/x/y.json": "{}", ".rustchain-notes": "n"}
        for _ in range(2):
            run("compress", {"source": ".", "destination": "d/all.tar.gz"}, files=files)
            with tarfile.open(workspace.root / "d/all.tar.gz") as tar:
                assert tar.getnames() == [".rustchain-notes", "a", "d", "d/b"]

    def test_source_that_is_a_link(self, run, workspace):
        """A link that is named is followed, and keeps its own name."""
        (workspace.root / "releases/5").mkdir(parents=True)
        (workspace.root / "releases/5/f").write_text("f")
        (workspace.root / "current").symlink_to("releases/5")
        run("compress", {"source": "current", "destination": "x.tar"})
        with tarfile.open(workspace.root / "x.tar") as tar:
            assert [(member.name, member.type) for member in tar] == [
                ("current", tarfile.DIRTYPE),
                ("current/f", tarfile.REGTYPE),
            ]

    @pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "sub/../../..", "a/../b"])
    @pytest.mark.parametrize("kind", ["tar", "zip"])
    def test_links_that_lead_out(self, run, workspace, kind, target):
        """A link that may lead out of the archive is refused, and an older archive stays as it was."""
        run("compress", {"source": "data", "destination": f"x.{kind}"}, files={"data/f": "f"})
        before = (workspace.root / f"x.{kind}").read_bytes()
        (workspace.root / "data/link").symlink_to(target)
        with pytest.raises(StepRefused, match=r"the link data/link leads to"):
            run("compress", {"source": "data", "destination": f"x.{kind}"})
        assert (workspace.root / f"x.{kind}").read_bytes() == before

    def test_pipes(self, run, workspace):
        """A pipe has no content to pack, and is not waited for."""
        (workspace.root / "data").mkdir()
        os.mkfifo(workspace.root / "data/pipe")
        with pytest.raises(StepError, match=r"is a pipe"):
            run("compress", {"source": "data", "destination": "x.tar"})
        assert not (workspace.root / "x.tar").exists()

    def test_names_that_are_not_utf8(self, run, workspace):
        """tar holds any name; zip holds text, and says so."""
        (workspace.root / "data").mkdir()
        with open(os.fsencode(workspace.root) + b"/data/\xff", "wb"):
            pass
        run("compress", {"source": "data", "destination": "x.tar"})
        run("compress", {"action": "extract", "source": "x.tar", "destination": "out"})
        assert os.listdir(os.fsencode(workspace.root) + b"/out/data") == [b"\xff"]
        with pytest.raises(StepRefused, match=r"zip cannot hold a name that is not UTF-8"):
            run("compress", {"source": "data", "destination": "x.zip"})

    @pytest.mark.parametrize(("seconds", "year"), [(0, 1980), (-1, 1980), (5_000_000_000, 2107)])
    def test_times_zip_cannot_say(self, run, workspace, seconds, year):
        """A time before or after what zip knows is the nearest it knows."""
        (workspace.root / "f").write_text("x")
        os.utime(workspace.root / "f", (seconds, seconds))
        run("compress", {"source": "f", "destination": "x.zip"})
        with zipfile.ZipFile(workspace.root / "x.zip") as archive:
            assert archive.infolist()[0].date_time[0] == year

    @pytest.mark.parametrize("kind", FORMATS)
    def test_full_file_system(self, run, workspace, kind):
        """When the disk is full the step fails, an older archive stays, and nothing else is left."""
        run("compress", {"source": "f", "destination": f"x.{kind}"}, files={"f": "old"})
        before = (workspace.root / f"x.{kind}").read_bytes()
        (workspace.root / "f").write_bytes(os.urandom(400_000))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(StepError, match=r"limit on file sizes"):
                run("compress", {"source": "f", "destination": f"x.{kind}"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (workspace.root / f"x.{kind}").read_bytes() == before
        assert sorted(os.listdir(workspace.root)) == ["f", f"x.{kind}"]

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"source": "missing", "destination": "x.zip"}, "does not exist"),
            ({"source": "f", "destination": "x.rar"}, "does not say its format"),
            ({"source": "f", "destination": "x.gz"}, "does not say its format"),
            ({"source": "f", "destination": "x.tar", "level": 1}, "tar has no level"),
            ({"source": "../x", "destination": "x.tar"}, "leaves the workspace"),
            ({"source": "f", "destination": "/tmp/x.tar"}, "leaves the workspace"),
        ],
    )
    def test_refusals(self, run, parameters, message):
        """What cannot be packed is said before anything is written."""
        with pytest.raises(StepError, match=message):
            run("compress", parameters, files={"f": "x"})

    @pytest.mark.parametrize(
        "parameters",
        [{"source": "f"}, {"source": [], "destination": "x.tar"}, {"source": "f", "destination": "x", "format": "rar"}],
    )
    def test_parameters(self, run, parameters):
        """Nonsense is refused."""
        with pytest.raises(ValidationError):
            run("compress", parameters)


HOSTILE_TARS = {
    "absolute": [("/etc/evil", b"x")],
    "dots": [("../evil", b"x")],
    "inner dots": [("a/../../evil", b"x")],
    "link out": [tar_member("l", tarfile.SYMTYPE, "../evil")],
    "absolute link": [tar_member("l", tarfile.SYMTYPE, "/etc")],
    "through a link": [tar_member("l", tarfile.SYMTYPE, "."), ("l/f", b"x")],
    "link after file": [("d/f", b"x"), tar_member("d", tarfile.SYMTYPE, "e")],
    "climbing link": [tar_member("a/b/up", tarfile.SYMTYPE, "../.."), tar_member("x", tarfile.SYMTYPE, "a/b/up/..")],
    "hard link out": [tar_member("h", tarfile.LNKTYPE, "../evil")],
    "hard link to nothing": [tar_member("h", tarfile.LNKTYPE, "later"), ("later", b"x")],
    "hard link through a link": [tar_member("l", tarfile.SYMTYPE, "x"), tar_member("h", tarfile.LNKTYPE, "l")],
    "device": [tar_member("dev", tarfile.CHRTYPE)],
    "block device": [tar_member("dev", tarfile.BLKTYPE)],
    "pipe": [tar_member("fifo", tarfile.FIFOTYPE)],
    "the destination itself": [(".", b"x")],
    "folder and file": [tar_member("d", tarfile.DIRTYPE), ("d", b"x")],
    "file and folder": [("d", b"x"), ("d/f", b"x")],
}


class TestUnpacking:
    @pytest.mark.parametrize("name", HOSTILE_TARS)
    def test_hostile_tar(self, run, workspace, tmp_path, name):
        """A tar that reaches for another place is refused, and nothing of it is left anywhere."""
        archive = tar_of(("fine", b"x"), *HOSTILE_TARS[name])
        with pytest.raises(StepRefused):
            extract(run, archive)
        assert os.listdir(workspace.root) == ["x.tar"]
        assert sorted(os.listdir(tmp_path)) == ["workspace"]

    @pytest.mark.parametrize(
        "member",
        [
            ("../evil", b"x", 0o100644),
            ("/etc/evil", b"x", 0o100644),
            ("a/../../evil", b"x", 0o100644),
            ("l", b"../evil", 0o120777),
            ("l", b"/etc", 0o120777),
            ("l", b"x" * 5000, 0o120777),
            ("dev", b"", 0o020644),
            ("fifo", b"", 0o010644),
        ],
    )
    def test_hostile_zip(self, run, workspace, member):
        """A zip that reaches for another place is refused, and nothing of it is left."""
        with pytest.raises(StepRefused):
            extract(run, zip_of(("fine", b"x", 0o100644), member), "zip")
        assert os.listdir(workspace.root) == ["x.zip"]

    @pytest.mark.parametrize(
        ("name", "target", "stays"),
        [
            ("l", "f", True),
            ("l", "d/e/f", True),
            ("a/l", "../f", True),
            ("a/b/l", "../../f", True),
            ("a/l", "./../f", True),
            ("l", "../f", False),
            ("a/l", "../../f", False),
            ("l", "/f", False),
            ("a/b/l", "c/../../../f", False),
            ("a/l", "b/../f", False),
            ("l", "", False),
        ],
    )
    def test_links(self, name, target, stays):
        """A link stays inside when it climbs at its beginning only, and no higher than its own depth."""
        assert link_stays_inside(name, target) is stays

    def test_hard_links(self, run, workspace):
        """A second name of a file becomes a file of its own."""
        extract(run, tar_of(("a", b"x"), tar_member("d/b", tarfile.LNKTYPE, "a")))
        assert tree(workspace.root / "out") == {"a": b"x", "d": "folder", "d/b": b"x"}

    def test_the_later_counts(self, run, workspace):
        """Of two members with one name the later counts, links and files alike."""
        output = extract(
            run,
            tar_of(
                ("a", b"1"),
                ("a", b"2"),
                tar_member("l", tarfile.SYMTYPE, "a"),
                ("l", b"file"),
                ("m", b"file"),
                tar_member("m", tarfile.SYMTYPE, "a"),
            ),
        )
        assert tree(workspace.root / "out") == {"a": b"2", "l": b"file", "m": ("link", "a")}
        assert output["files"] == 3

    def test_permissions(self, run, workspace):
        """Set-id bits are not taken over, and a folder that could not be entered is one that can."""
        extract(
            run,
            tar_of(tar_member("d", tarfile.DIRTYPE, mode=0o000), tar_member("s", tarfile.REGTYPE, mode=0o6755)),
        )
        assert stat.S_IMODE((workspace.root / "out/s").stat().st_mode) == 0o755
        assert stat.S_IMODE((workspace.root / "out/d").stat().st_mode) == 0o700

    def test_into_a_folder_that_is_there(self, run, workspace):
        """Files of the same name are replaced, others stay, and no trace of the unpacking is left."""
        (workspace.root / "out/d").mkdir(parents=True)
        (workspace.root / "out/d").chmod(0o755)
        (workspace.root / "out/d/old").write_text("old")
        (workspace.root / "out/f").write_text("old")
        extract(run, tar_of(("f", b"new"), ("d/g", b"g"), tar_member("e", tarfile.DIRTYPE, mode=0o711)))
        assert tree(workspace.root / "out") == {"d": "folder", "d/g": b"g", "d/old": b"old", "e": "folder", "f": b"new"}
        assert stat.S_IMODE((workspace.root / "out/e").stat().st_mode) == 0o711

    def test_into_the_workspace(self, run, workspace):
        """The workspace itself may be the destination."""
        output = extract(run, tar_of(("f", b"x")), destination=".")
        assert output["destination"] == "."
        assert sorted(os.listdir(workspace.root)) == ["f", "x.tar"]

    @pytest.mark.parametrize(
        ("there", "member", "error"),
        [
            ("folder", ("n", b"x"), StepError),
            ("file", ("n/f", b"x"), StepError),
            ("link", ("n/f", b"x"), StepRefused),
        ],
    )
    def test_in_the_way(self, run, workspace, there, member, error):
        """What cannot be put in place stops the step before anything is moved."""
        (workspace.root / "out").mkdir()
        (workspace.root / "elsewhere").mkdir()
        match there:
            case "folder":
                (workspace.root / "out/n").mkdir()
            case "file":
                (workspace.root / "out/n").write_text("old")
            case "link":
                (workspace.root / "out/n").symlink_to("../elsewhere")
        before = tree(workspace.root / "out")
        with pytest.raises(error, match=r"out/n is a"):
            extract(run, tar_of(("first", b"x"), member))
        assert tree(workspace.root / "out") == before
        assert list((workspace.root / "elsewhere").iterdir()) == []

    def test_destination_is_a_file(self, run, workspace):
        """A file is no folder to unpack into."""
        (workspace.root / "out").write_text("x")
        with pytest.raises(StepError, match=r"is a file, not a folder"):
            extract(run, tar_of(("f", b"x")))

    @pytest.mark.parametrize("kind", FORMATS)
    def test_truncated(self, run, workspace, kind):
        """An archive that is cut short anywhere fails the step and leaves nothing."""
        run(
            "compress",
            {"source": "data", "destination": f"whole.{kind}"},
            files={"data/r": os.urandom(20_000), **FILES},
        )
        whole = (workspace.root / f"whole.{kind}").read_bytes()
        used = len(whole.rstrip(b"\0")) + 600 if kind == "tar" else len(whole)
        for length in (0, 1, 300, 512, 1024, used // 2, used - 700 if kind == "tar" else used - 20):
            (workspace.root / "cut").write_bytes(whole[:length])
            with pytest.raises(StepError, match=r"the archive is"):
                run("compress", {"action": "extract", "source": "cut", "format": kind, "destination": "out"})
            assert not (workspace.root / "out").exists()

    @pytest.mark.parametrize("kind", FORMATS)
    def test_damaged(self, run, workspace, kind):
        """A damaged archive fails the step and leaves nothing."""
        run("compress", {"source": "r", "destination": f"whole.{kind}"}, files={"r": os.urandom(20_000), "s": "s"})
        content = bytearray((workspace.root / f"whole.{kind}").read_bytes())
        # in a plain tar only headers are checked; elsewhere checksums cover the content
        at = 10 if kind == "tar" else len(content) // 2
        content[at] ^= 0xFF
        with pytest.raises(StepError, match=r"the archive is damaged"):
            extract(run, bytes(content), kind)
        assert not (workspace.root / "out").exists()

    def test_damaged_header_in_the_middle(self, run, workspace):
        """A damaged header is not taken for the end of the archive."""
        content = bytearray(tar_of(("a", b"x"), ("b", b"x")))
        content[1024 + 5] ^= 0xFF
        with pytest.raises(StepError, match=r"damaged"):
            extract(run, bytes(content))
        assert not (workspace.root / "out").exists()

    @pytest.mark.parametrize("kind", FORMATS)
    def test_something_else(self, run, kind):
        """A file that is no archive says so."""
        with pytest.raises(StepError, match=r"the archive is damaged or not a"):
            extract(run, b"just some text, and more of it\n" * 100, kind)

    def test_encrypted(self, run):
        """An encrypted member is refused."""
        content = bytearray(zip_of(("f", b"x", 0o100644)))
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        with pytest.raises(StepRefused, match=r"is encrypted"):
            extract(run, bytes(content), "zip")


def bomb(kind, size):
    """An archive of zeros."""
    if kind == "zip":
        return zip_of(("zeros", bytes(size), 0o100644))
    plain = tar_of(("zeros", bytes(size)))
    return {
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": zstandard.ZstdCompressor().compress,
    }[kind](plain)


class TestAllowance:
    @pytest.fixture(autouse=True)
    def little_is_free(self, monkeypatch):
        """Ask about the ratio from 10 MB on, so that bombs can be small."""
        monkeypatch.setattr(Allowance, "free_bytes", 10_000_000)

    @pytest.mark.parametrize("kind", FORMATS[1:])
    def test_bomb(self, run, workspace, kind):
        """An archive that unpacks to many times its size is refused, and nothing of it is left."""
        with pytest.raises(StepRefused, match=r"more than 500 times its size"):
            extract(run, bomb(kind, 12_000_000), kind, max_ratio=500)
        assert os.listdir(workspace.root) == [f"x.{kind}"]

    @pytest.mark.parametrize("kind", FORMATS[1:])
    def test_size(self, run, kind):
        """max_size is counted as it is unpacked."""
        with pytest.raises(StepRefused, match=r"more than 1000000 bytes"):
            extract(run, bomb(kind, 2_000_000), kind, max_size=1_000_000)

    def test_headers_are_not_believed(self, run):
        """A zip that understates a size is counted by what comes out of it."""
        content = bytearray(zip_of(("zeros", bytes(2_000_000), 0o100644)))
        at = content.index(b"PK\x01\x02") + 24
        content[at : at + 4] = (10).to_bytes(4, "little")
        with pytest.raises(StepError):
            extract(run, bytes(content), "zip", max_size=1_000_000)

    def test_sparse(self, run, workspace):
        """A sparse file is as large as it reads, not as it is stored."""
        if not shutil.which("tar"):
            pytest.skip("tar is not installed")
        with open(workspace.root / "holes", "wb") as file:
            file.truncate(20_000_000)
        subprocess.run(["tar", "-cSf", "x.tar", "holes"], cwd=workspace.root, check=True)
        assert (workspace.root / "x.tar").stat().st_size < 100_000
        with pytest.raises(StepRefused, match=r"times its size"):
            run("compress", {"action": "extract", "source": "x.tar", "destination": "out"})
        assert not (workspace.root / "out").exists()

    def test_large_headers(self, run):
        """A name that would fill the memory is refused."""
        header = tar_member("x", tarfile.XHDTYPE)
        header.size = 8 * 1024**3
        with pytest.raises(StepRefused, match=r"header of 8589934592 bytes"):
            extract(run, header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))

    @pytest.mark.parametrize("kind", ["tar", "zip"])
    def test_entries(self, run, kind):
        """So many entries and no more."""
        members = [(str(number), b"") for number in range(11)]
        content = tar_of(*members) if kind == "tar" else zip_of(*((*member, 0o100644) for member in members))
        with pytest.raises(StepRefused, match=r"more than 10 entries"):
            extract(run, content, kind, max_entries=10)
        assert extract(run, content, kind, max_entries=11)["files"] == 11

    def test_compressible_files_are_fine(self, run, workspace):
        """A small archive of zeros is no bomb, and a limit may be raised."""
        assert extract(run, bomb("tar.xz", 9_000_000), "tar.xz")["original_size"] == 9_000_000
        assert extract(run, bomb("tar.xz", 12_000_000), "tar.xz", destination="b", max_ratio=1e9)["files"] == 1

    def test_full_file_system(self, run, workspace):
        """When the disk is full half-way, nothing is left."""
        content = tar_of(("a", b"small"), ("b", os.urandom(400_000)))
        (workspace.root / "x.tar").write_bytes(content)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(StepError, match=r"limit on file sizes"):
                run("compress", {"action": "extract", "source": "x.tar", "destination": "out"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert os.listdir(workspace.root) == ["x.tar"]


@pytest.mark.parametrize(("action", "left"), [("compress", "x.tar.xz"), ("extract", "out")])
def test_stopped_half_way(workspace, action, left):
    """A step that is stopped in the middle leaves no archive and no folder."""
    root = workspace.root
    (root / "big").write_bytes(os.urandom(1_000_000) * 60)
    if action == "extract":
        subprocess.run(["tar", "-cf", "x.tar", *["big"] * 20], cwd=root, check=True)
    run = MissionRun("m", "1.0", "run-1", datetime.now(UTC), str(root))
    runtime = StepRuntime(ExecutionContext(run))
    source, destination = ("big", "x.tar.xz") if action == "compress" else ("x.tar", "out")
    parameters = {"source": source, "destination": destination, "action": action}
    step = PlannedStep("step", "step", StepType.COMPRESS, position=0, parameters=parameters)
    with StopToken(60) as stop:

        def cancel_when_begun():
            while not any(path.name.startswith(".rustchain") for path in root.iterdir()):
                if finished.wait(0.005):
                    return
            stop.cancel("enough")

        finished = threading.Event()
        thread = threading.Thread(target=cancel_when_begun)
        thread.start()
        result = run_step(step, runtime, stop=stop)
        finished.set()
        thread.join()
    runtime.fork_server.close()
    assert result.error == "enough"
    assert not (root / left).exists()
