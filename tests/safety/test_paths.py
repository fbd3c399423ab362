"""The path guard: what is inside is reached, what is outside is neither read nor written, also in a race."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from rustchain_airflow.safety import paths
from rustchain_airflow.safety.paths import Allowed, GuardedWorkspace, PathRefused
from rustchain_airflow.steps.sdk import PathAccess, StepError, StepRefused, Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a file, and beside it a folder no step may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    root = tmp_path / "workspace"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file.txt").write_text("inside")
    return root


@pytest.fixture(params=["by handle", "by name"])
def guard(root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GuardedWorkspace:
    """The guard as it works here, and as it works on systems without folder handles."""
    if request.param == "by name":
        monkeypatch.setattr(paths, "_BY_HANDLE", False)
    return GuardedWorkspace(root)


def put(workspace: Workspace, path: str, content: bytes) -> None:
    with workspace.write(path) as file:
        file.write(content)


def outside_of(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root.parent / "outside").iterdir()}


# --- which paths are inside -----------------------------------------------------------------------

INSIDE = [
    "sub/file.txt",
    "./sub//file.txt",
    "sub/../sub/file.txt",
    "../workspace/sub/file.txt",
    "missing/../sub/file.txt",
    "link-to-sub/file.txt",
    "link-to-file",
    "link-to-link",
    "absolute-link/file.txt",
    "link-to-sub/../sub/file.txt",
    "link-around/sub/file.txt",
]


@pytest.fixture
def links(root: Path) -> None:
    (root / "link-to-sub").symlink_to("sub")
    (root / "link-to-file").symlink_to("sub/file.txt")
    (root / "link-to-link").symlink_to("link-to-file")
    (root / "absolute-link").symlink_to(root / "sub")
    (root / "link-around").symlink_to("../workspace")
    (root / "to-outside").symlink_to("../outside")
    (root / "to-secret").symlink_to("to-outside/secret")
    (root / "dangling").symlink_to(root.parent / "outside" / "new")
    (root / "sub" / "up").symlink_to("../..")
    (root / "circle").symlink_to("circle")


@pytest.mark.parametrize("path", INSIDE)
@pytest.mark.usefixtures("links")
def test_a_path_that_ends_inside_is_reached_whatever_way_it_takes(guard: GuardedWorkspace, path: str) -> None:
    """Dots and links are fine as long as the result is inside (semantics §8.1)."""
    assert guard.read(path, max_bytes=100) == b"inside"
    put(guard, path, b"changed")
    assert (guard.root / "sub" / "file.txt").read_bytes() == b"changed"
    assert guard.locate(path) == guard.root.resolve() / "sub" / "file.txt"


def test_an_absolute_path_inside_is_reached(guard: GuardedWorkspace) -> None:
    """Where a path starts does not matter."""
    assert guard.read(str(guard.root / "sub" / "file.txt"), max_bytes=100) == b"inside"


@pytest.mark.parametrize(
    "name", ["notes~1.txt", "v1..v2.md", "~", "a b", "con.txt", "ü/ß", "%2e%2e", "...", "-rf", "a\nb"]
)
def test_no_name_is_refused_for_its_letters(guard: GuardedWorkspace, name: str) -> None:
    """No rule by substring (semantics §8.1)."""
    put(guard, name, b"x")
    assert guard.read(name, max_bytes=1) == b"x"
    assert (guard.root / name).read_bytes() == b"x"


OUTSIDE = [
    ("../outside/secret", 'path "../outside/secret" leaves the workspace'),
    ("../outside/new", 'path "../outside/new" leaves the workspace'),
    ("sub/../../outside/secret", 'path "sub/../../outside/secret" leaves the workspace'),
    ("/etc/passwd", 'path "/etc/passwd" leaves the workspace'),
    ("/etc/passwd/below/a/file", 'path "/etc/passwd/below/a/file" leaves the workspace'),
    ("/", 'path "/" leaves the workspace'),
    ("..", 'path ".." leaves the workspace'),
    ("../workspace-2/file", 'path "../workspace-2/file" leaves the workspace'),
]

OUTSIDE_BY_LINK = [
    ("to-outside/secret", "to-outside"),
    ("to-outside/new", "to-outside"),
    ("to-secret", "to-outside"),
    ("dangling", "dangling"),
    ("sub/up/outside/secret", "sub/up"),
    ("to-outside/missing/../secret", "to-outside"),
]

OPERATIONS: dict[str, Callable[[GuardedWorkspace, str], object]] = {
    "locate": lambda guard, path: guard.locate(path),
    "entry": lambda guard, path: guard.entry(path),
    "open": lambda guard, path: guard.open(path),
    "scan": lambda guard, path: guard.scan(path),
    "walk": lambda guard, path: list(guard.walk(path)),
    "open_below": lambda guard, path: list(guard.open_below(path)),
    "write": lambda guard, path: put(guard, path, b"overwritten"),
    "make_folder": lambda guard, path: guard.make_folder(path),
    "set_mode": lambda guard, path: guard.set_mode(path, 0o777),
    "staging": lambda guard, path: guard.staging(path).__enter__(),
}

OPERATIONS_ON_NAMES: dict[str, Callable[[GuardedWorkspace, str], object]] = {
    "remove": lambda guard, path: guard.remove(path, recursive=True),
    "move from": lambda guard, path: guard.move(path, "taken"),
    "move to": lambda guard, path: guard.move("sub/file.txt", path),
    "read_link": lambda guard, path: guard.read_link(path),
    "make_link": lambda guard, path: guard.make_link(path, "sub"),
}


@pytest.mark.parametrize("operation", [*OPERATIONS, *OPERATIONS_ON_NAMES])
@pytest.mark.parametrize(("path", "message"), OUTSIDE)
def test_no_operation_leaves_the_workspace(guard: GuardedWorkspace, path: str, message: str, operation: str) -> None:
    """Every operation refuses a path that ends outside, and nothing there changes."""
    before = outside_of(guard.root)
    with pytest.raises(PathRefused) as refusal:
        {**OPERATIONS, **OPERATIONS_ON_NAMES}[operation](guard, path)
    assert str(refusal.value) == message
    assert isinstance(refusal.value, StepRefused)
    assert outside_of(guard.root) == before


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("path", "link"), OUTSIDE_BY_LINK)
@pytest.mark.usefixtures("links")
def test_no_link_leads_outside(root: Path, guard: GuardedWorkspace, path: str, link: str, operation: str) -> None:
    """A link that leads outside is refused wherever it stands in the path, and where its target does not exist."""
    before = outside_of(root)
    with pytest.raises(PathRefused, match=r"leads outside the workspace \(through link "):
        OPERATIONS[operation](guard, path)
    assert outside_of(root) == before


@pytest.mark.parametrize(("path", "link"), OUTSIDE_BY_LINK)
@pytest.mark.usefixtures("links")
def test_the_refusal_names_the_link(root: Path, path: str, link: str) -> None:
    """Who reads the message can find the link."""
    with pytest.raises(PathRefused) as refusal:
        GuardedWorkspace(root).read(path, max_bytes=1)
    assert str(refusal.value) == f'path "{path}" leads outside the workspace (through link {link})'


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "the path is empty"),
        ("a\0b", 'path "a\\x00b" holds a NUL byte'),
        ("a\ud800", 'path "a\\ud800" is not valid text'),
        ("../a\nb", 'path "../a\\nb" leaves the workspace'),
    ],
)
def test_a_path_that_is_none_is_refused_on_one_line(guard: GuardedWorkspace, path: str, message: str) -> None:
    """Empty paths and NUL bytes are refused, and messages stay on one line."""
    with pytest.raises(PathRefused) as refusal:
        guard.locate(path)
    assert str(refusal.value) == message


@pytest.mark.usefixtures("links")
def test_a_circle_of_links_ends(root: Path) -> None:
    """Links are followed a bounded number of times."""
    with pytest.raises(StepError, match=r"passes over 40 links"):
        GuardedWorkspace(root).read("circle/file", max_bytes=1)


def test_forty_links_are_followed(root: Path) -> None:
    """As many links as the kernel follows are no circle."""
    previous = "sub/file.txt"
    for number in range(40):
        (root / f"link{number}").symlink_to(previous)
        previous = f"link{number}"
    assert GuardedWorkspace(root).read(previous, max_bytes=100) == b"inside"


def test_a_long_path_needs_no_more_handles_than_a_short_one(root: Path) -> None:
    """Depth costs no file handles."""
    guard = GuardedWorkspace(root)
    deep = "/".join("d" * 600)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 12, limits[1]))
    try:
        put(guard, f"{deep}/file", b"x")
        assert sum(1 for _ in guard.walk("d")) == 600
        assert [path for path, _, _ in guard.open_below("d")] == [f"{deep}/file"]
        guard.remove("d", recursive=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not (root / "d").exists()


# --- what the policy allows besides ---------------------------------------------------------------


def test_the_policy_opens_folders_for_reading_or_writing(root: Path) -> None:
    """A folder allowed for reading may be read only; one allowed for writing, both."""
    for name in ("readable", "writable"):
        (root.parent / name).mkdir()
        (root.parent / name / "file").write_text(name)
    readable, writable = root.parent / "readable", root.parent / "writable"
    guard = GuardedWorkspace(root, also=[Allowed(readable, PathAccess.READ), Allowed(writable, PathAccess.WRITE)])
    (root / "way").symlink_to(readable)

    assert guard.read(f"{readable}/file", max_bytes=100) == b"readable"
    assert guard.read("way/file", max_bytes=100) == b"readable"
    put(guard, f"{writable}/new", b"x")
    assert guard.relative(writable / "new") == f"{writable}/new"
    assert [entry.path for entry in guard.scan(str(writable))] == [f"{writable}/file", f"{writable}/new"]
    for path in (f"{readable}/file", "way/new"):
        with pytest.raises(PathRefused, match=r"may be read but not written"):
            put(guard, path, b"x")
    with pytest.raises(PathRefused, match=r"may be read but not written"):
        guard.locate(f"{readable}/file", access=PathAccess.WRITE)


def test_a_single_file_may_be_allowed(root: Path) -> None:
    """The policy may name a file; its neighbours stay refused."""
    secret = root.parent / "outside" / "secret"
    (root.parent / "outside" / "other").write_text("other")
    guard = GuardedWorkspace(root, also=[Allowed(secret, PathAccess.READ)])
    assert guard.read(str(secret), max_bytes=100) == b"secret"
    with pytest.raises(PathRefused):
        guard.read(str(secret.with_name("other")), max_bytes=100)


@pytest.mark.parametrize("path", [".", "sub/..", "../workspace"])
def test_the_workspace_itself_stays(guard: GuardedWorkspace, path: str) -> None:
    """It can be neither removed nor moved nor replaced."""
    operations: list[Callable[[], None]] = [
        lambda: guard.remove(path, recursive=True),
        lambda: guard.move(path, "sub/inside"),
        lambda: guard.move("sub", path),
    ]
    for operation in operations:
        with pytest.raises(PathRefused, match=r"is the workspace itself"):
            operation()
    assert (guard.root / "sub" / "file.txt").exists()


def test_a_workspace_below_a_link_is_fine(root: Path) -> None:
    """The root may be named through links; both names of what is inside are understood."""
    (root.parent / "alias").symlink_to(root)
    guard = GuardedWorkspace(root.parent / "alias")
    assert guard.read("sub/file.txt", max_bytes=100) == b"inside"
    for name in (root, root.parent / "alias"):
        assert guard.read(f"{name}/sub/file.txt", max_bytes=100) == b"inside"
        assert guard.relative(name / "sub" / "file.txt") == "sub/file.txt"


def test_making_a_guard_makes_nothing(tmp_path: Path) -> None:
    """The root is made by who owns it; until then using it says so."""
    guard = GuardedWorkspace(tmp_path / "later")
    assert not (tmp_path / "later").exists()
    with pytest.raises(StepError, match=r"the workspace .*later cannot be used: No such file or directory"):
        guard.scan(".")
    (tmp_path / "later").mkdir()
    assert guard.scan(".") == []


# --- races ----------------------------------------------------------------------------------------


@pytest.fixture
def swapped(root: Path) -> Iterator[Path]:
    """`root/swap`: a folder and, in turn, a link to the outside, as fast as a thread can swap them."""
    real, link, swap = root / "real", root / "link", root / "swap"
    done = threading.Event()

    def swap_them() -> None:
        for turn in count():
            if done.is_set():
                return
            # Steps may move, fill or remove what they find, so each turn starts from what it needs.
            with suppress(OSError):
                real.mkdir()
            with suppress(OSError):
                (real / "secret").write_text("inside")
            with suppress(OSError):
                link.symlink_to(root.parent / "outside")
            for thing in (real, link):
                try:
                    thing.rename(swap)
                    swap.rename(thing)
                except OSError:
                    with suppress(OSError):
                        swap.rename(root / f"aside{turn}")

    thread = threading.Thread(target=swap_them)
    thread.start()
    yield swap
    done.set()
    thread.join()


RACES: dict[str, Callable[[GuardedWorkspace], object]] = {
    "read": lambda guard: guard.read("swap/secret", max_bytes=100),
    "write": lambda guard: put(guard, "swap/secret", b"inside"),
    "create": lambda guard: put(guard, "swap/new", b"inside"),
    "make": lambda guard: guard.make_folder("swap/folder"),
    "move": lambda guard: guard.move("swap/secret", "swap/moved"),
    "remove": lambda guard: guard.remove("swap/secret"),
    "scan": lambda guard: [entry.size for entry in guard.scan("swap") if entry.name == "secret"],
    "walk": lambda guard: [entry.path for entry in guard.walk(".")],
    "search": lambda guard: [os.read(handle, size) for _, handle, size in guard.open_below(".")],
    "tree": lambda guard: guard.remove("swap", recursive=True),
}


@pytest.mark.parametrize("operation", RACES)
def test_a_folder_swapped_for_a_link_is_never_followed(root: Path, swapped: Path, operation: str) -> None:
    """Between the check and the use nothing can be swapped, because there is nothing between them (semantics §8.1)."""
    guard = GuardedWorkspace(root)
    for _ in range(1000):
        try:
            seen = RACES[operation](guard)
        except StepError:
            seen = None
        if operation in ("read", "search") and seen:
            assert b"secret" not in (seen if isinstance(seen, list) else [seen])
    assert outside_of(root) == {"secret": "secret"}


def test_a_file_swapped_for_a_link_is_never_followed(root: Path) -> None:
    """The last name of a path is no exception, for reading as for writing."""
    guard = GuardedWorkspace(root)
    secret, target, spare = root.parent / "outside" / "secret", root / "target", root / "spare"
    target.write_text("inside")
    spare.symlink_to(secret)
    done = threading.Event()

    def swap_them() -> None:
        number = 0
        while not done.is_set():
            number += 1
            fresh = root / f"fresh{number % 2}"
            fresh.unlink(missing_ok=True)
            if number % 2:
                fresh.symlink_to(secret)
            else:
                fresh.write_text("inside")
            fresh.replace(target)

    thread = threading.Thread(target=swap_them)
    thread.start()
    try:
        for _ in range(1500):
            try:
                assert guard.read("target", max_bytes=100) in (b"inside", b"")
            except StepError:
                pass
            try:
                put(guard, "target", b"inside")
            except StepError:
                pass
    finally:
        done.set()
        thread.join()
    assert secret.read_text() == "secret"


def test_of_many_writers_without_overwrite_one_wins(root: Path) -> None:
    """overwrite=False is decided by the file system, not by a look before."""
    guard = GuardedWorkspace(root)
    barrier = threading.Barrier(8)
    winners: list[int] = []
    losers: list[str] = []

    def write(number: int) -> None:
        try:
            with guard.write("contested", overwrite=False) as file:
                file.write(b"%d" % number)
                barrier.wait(timeout=60)
            winners.append(number)
        except StepError as error:
            losers.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert losers == ["contested exists already"] * 7
    assert [str(winner) for winner in winners] == [(root / "contested").read_text()]
    assert sorted(os.listdir(root)) == ["contested", "sub"]


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "message"), [("pipe", "x is a pipe, not a file"), ("folder", "x is a folder, not a file")]
)
def test_only_regular_files_are_opened(guard: GuardedWorkspace, kind: str, message: str) -> None:
    """A pipe without a writer does not block, and a folder is no file."""
    os.mkfifo(guard.root / "x") if kind == "pipe" else (guard.root / "x").mkdir()
    for operation in (lambda: guard.open("x"), lambda: put(guard, "x", b"")):
        with pytest.raises(StepError) as error:
            operation()
        assert str(error.value) == message
        assert not isinstance(error.value, StepRefused)


def test_a_socket_is_not_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is an error of one line."""
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x")
        with pytest.raises(StepError, match=r"^x is a socket or a device, not a file$"):
            GuardedWorkspace(root).open("x")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("data.csv", "no such file: data.csv"),
        ("no/such/data.csv", "no such file: no/such/data.csv"),
        ("sub/file.txt/data.csv", "sub/file.txt/data.csv is not a folder, or leads through a file"),
        ("x" * 256, f"file name is too long: {'x' * 256}"),
    ],
)
def test_what_cannot_be_opened_may_be_tried_again(guard: GuardedWorkspace, path: str, message: str) -> None:
    """A missing file is a StepError and not a refusal: another step may make it."""
    with pytest.raises(StepError) as error:
        guard.open(path)
    assert str(error.value) == message
    assert not isinstance(error.value, StepRefused)


def test_read_is_bounded(guard: GuardedWorkspace) -> None:
    """A file as large as the limit is read, one byte more is an error."""
    assert guard.read("sub/file.txt", max_bytes=6) == b"inside"
    with pytest.raises(StepError, match=r"^sub/file.txt has 6 bytes, more than max_bytes = 5$"):
        guard.read("sub/file.txt", max_bytes=5)


# --- writing --------------------------------------------------------------------------------------


def test_a_failed_write_leaves_nothing(guard: GuardedWorkspace) -> None:
    """An error inside the block keeps the old file, leaves no temporary, and comes through as it is."""

    def write_half(path: str) -> None:
        with guard.write(path) as file:
            file.write(b"new")
            raise RuntimeError("half way")

    for path in ("sub/file.txt", "sub/other.txt"):
        with pytest.raises(RuntimeError, match=r"half way"):
            write_half(path)
    assert os.listdir(guard.root / "sub") == ["file.txt"]
    assert (guard.root / "sub" / "file.txt").read_text() == "inside"


def test_a_file_appears_whole(guard: GuardedWorkspace) -> None:
    """Until the block ends the old content is there, and what is being written is hidden."""
    with guard.write("sub/file.txt") as file:
        file.write(b"new")
        file.flush()
        assert (guard.root / "sub" / "file.txt").read_text() == "inside"
        (temporary,) = set(os.listdir(guard.root / "sub")) - {"file.txt"}
        assert temporary.startswith(".")
    assert (guard.root / "sub" / "file.txt").read_text() == "new"
    assert os.listdir(guard.root / "sub") == ["file.txt"]


def test_a_wrapper_may_close_the_file(guard: GuardedWorkspace) -> None:
    """Text wrappers and archives close what they write to; the file is put in place all the same."""
    import io

    with guard.write("text") as file:
        with io.TextIOWrapper(file, encoding="utf-8") as text:
            text.write("ü")
    assert (guard.root / "text").read_text("utf-8") == "ü"


@pytest.mark.parametrize(
    ("before", "mode", "after"),
    [(None, None, 0o640), (None, 0o600, 0o600), (0o755, None, 0o755), (0o755, 0o644, 0o644)],
)
def test_modes(guard: GuardedWorkspace, before: int | None, mode: int | None, after: int) -> None:
    """A new file follows the umask, a replaced one keeps its mode, and a mode that is asked for is set as it is."""
    target = guard.root / "file"
    if before is not None:
        target.touch()
        target.chmod(before)
    umask = os.umask(0o027)
    try:
        with guard.write("file", mode=mode):
            pass
    finally:
        os.umask(umask)
    assert target.stat().st_mode & 0o777 == after


def test_a_limit_on_file_size_leaves_no_half_file(root: Path) -> None:
    """A file that outgrows what the system allows fails in one line, and the old one is still there."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            try:
                put(GuardedWorkspace(root), "sub/file.txt", b"x" * 10_000)
            except StepError as error:
                code = 0 if str(error) == "sub/file.txt would be larger than the limit on file sizes" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.listdir(root / "sub") == ["file.txt"]
    assert (root / "sub" / "file.txt").read_text() == "inside"


def test_a_writer_that_is_killed_leaves_the_old_file(root: Path) -> None:
    """An isolated step may be killed at any moment: what it was writing is then only a hidden file (semantics §5.3)."""
    child = os.fork()
    if child == 0:
        with GuardedWorkspace(root).write("sub/file.txt") as file:
            file.write(b"new")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (root / "sub" / "file.txt").read_text() == "inside"
    assert [name for name in os.listdir(root / "sub") if not name.startswith(".")] == ["file.txt"]


def test_an_os_error_of_the_caller_is_not_taken_for_ours(guard: GuardedWorkspace) -> None:
    """What fails in the block for another reason is not said to be the file's fault."""
    with pytest.raises(ConnectionResetError), guard.write("file"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_a_path_with_a_slash_at_its_end_is_no_file(guard: GuardedWorkspace) -> None:
    """`out/` means a folder, so nothing is written in its place."""
    with pytest.raises(StepError, match=r"^out/ names a folder, not a file$"):
        put(guard, "out/", b"x")


# --- folders, moves, links ------------------------------------------------------------------------


def test_make_folder(guard: GuardedWorkspace) -> None:
    """Parents are made, an existing folder is fine, a file in the way is an error."""
    guard.make_folder("a/b/c")
    guard.make_folder("a/b/c")
    guard.make_folder(".")
    assert (guard.root / "a/b/c").is_dir()
    with pytest.raises(StepError):
        guard.make_folder("sub/file.txt")
    with pytest.raises(StepError):
        guard.make_folder("sub/file.txt/below")


def test_scan_lists_in_name_order_without_following(guard: GuardedWorkspace, root: Path) -> None:
    """A link is an entry of its own, whatever it leads to."""
    (root / "b").symlink_to(root.parent / "outside")
    (root / "a").write_text("12345")
    assert [(entry.name, entry.path, entry.is_dir, entry.is_link) for entry in guard.scan(".")] == [
        ("a", "a", False, False),
        ("b", "b", False, True),
        ("sub", "sub", True, False),
    ]
    assert guard.scan(".")[0].size == 5
    with pytest.raises(StepError, match=r"a is not a folder"):
        guard.scan("a")


def test_walk_goes_down_and_never_through_a_link(guard: GuardedWorkspace, root: Path) -> None:
    """Folders come before what they hold; links and, if wanted, hidden names are left."""
    (root / ".git").mkdir()
    (root / ".git" / "config").touch()
    (root / "sub" / "around").symlink_to("..")
    (root / "z").touch()
    assert [entry.path for entry in guard.walk(".")] == [
        ".git", ".git/config", "sub", "sub/around", "sub/file.txt", "z",
    ]  # fmt: skip
    assert [entry.path for entry in guard.walk(".", hidden=False)] == ["sub", "sub/around", "sub/file.txt", "z"]
    assert [entry.path for entry in guard.walk("sub")] == ["sub/around", "sub/file.txt"]


def test_entry_follows_links(guard: GuardedWorkspace, root: Path) -> None:
    """`entry` speaks of what a link leads to, and says that it is one; None where nothing is."""
    (root / "link").symlink_to("sub/file.txt")
    (root / "broken").symlink_to("nothing")
    entry = guard.entry("link")
    assert entry is not None
    assert (entry.name, entry.path, entry.size, entry.is_link) == ("link", "link", 6, True)
    assert guard.entry("broken") is None
    assert guard.entry("nothing/at/all") is None
    assert guard.entry("sub/file.txt/below") is None


def test_remove_takes_the_link_and_leaves_its_target(guard: GuardedWorkspace, root: Path) -> None:
    """Links are removed, never followed, at any depth; folders only when asked."""
    outside = root.parent / "outside"
    (root / "tree" / "deep").mkdir(parents=True)
    (root / "tree" / "deep" / "link").symlink_to(outside)
    (root / "tree" / "file").symlink_to(outside / "secret")
    with pytest.raises(StepError, match=r"^tree is a folder; it is only removed with recursive: true$"):
        guard.remove("tree")
    guard.remove("tree", recursive=True)
    assert not (root / "tree").exists()
    assert outside_of(root) == {"secret": "secret"}
    with pytest.raises(StepError, match=r"^no such file: tree$"):
        guard.remove("tree", recursive=True)


def test_move(guard: GuardedWorkspace, root: Path) -> None:
    """A file replaces a file, parents are made, a folder goes as a whole."""
    guard.move("sub", "new/place")
    assert (root / "new/place/file.txt").read_text() == "inside"
    (root / "other").write_text("other")
    guard.move("other", "new/place/file.txt")
    assert (root / "new/place/file.txt").read_text() == "other"
    guard.move("new/place/file.txt", "new/place/file.txt")
    assert (root / "new/place/file.txt").read_text() == "other"


@pytest.mark.parametrize(
    ("source", "destination", "overwrite", "message"),
    [
        ("missing", "x", True, "no such file: missing"),
        ("file", "other", False, "other exists already"),
        ("file", "sub", True, "sub is a folder and file is a file"),
        ("sub", "file", True, "file is a file and sub is a folder"),
        ("sub", "full", True, "folder is not empty: full"),
        ("sub", "sub/below/it", True, "sub cannot be moved into itself"),
    ],
)
def test_moves_that_fail_change_nothing(
    guard: GuardedWorkspace, root: Path, source: str, destination: str, overwrite: bool, message: str
) -> None:
    """Nothing is lost by a move that cannot be done."""
    (root / "file").write_text("file")
    (root / "other").write_text("other")
    (root / "full").mkdir()
    (root / "full" / "x").touch()
    with pytest.raises(StepError) as error:
        guard.move(source, destination, overwrite=overwrite)
    assert str(error.value) == message
    assert (root / "file").read_text() == "file"
    assert (root / "other").read_text() == "other"
    assert (root / "sub" / "file.txt").exists()


def test_two_names_of_one_file_become_one(guard: GuardedWorkspace, root: Path) -> None:
    """Moving a file onto a hard link of itself leaves the destination only."""
    os.link(root / "sub" / "file.txt", root / "twin")
    guard.move("twin", "sub/file.txt")
    assert sorted(os.listdir(root)) == ["sub"]
    assert (root / "sub" / "file.txt").read_text() == "inside"


def test_staging_is_beside_and_goes(guard: GuardedWorkspace, root: Path) -> None:
    """What is built is moved out of a hidden folder on the same device, which is gone at the end."""
    with guard.staging("sub/result") as staging:
        assert staging.startswith("sub/.")
        put(guard, f"{staging}/a/b", b"x")
        guard.move(f"{staging}/a", "sub/result")
    assert sorted(os.listdir(root / "sub")) == ["file.txt", "result"]

    def build_half() -> None:
        with guard.staging("sub/result") as staging:
            put(guard, f"{staging}/a/b", b"x")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match=r"half way"):
        build_half()
    assert sorted(os.listdir(root / "sub")) == ["file.txt", "result"]


@pytest.mark.parametrize(
    ("link", "target", "fine"),
    [
        ("a", "sub", True),
        ("sub/a", "../sub", True),
        ("a", "../outside", False),
        ("sub/a", "../..", False),
        ("a", "/", False),
    ],
)
def test_a_link_that_is_made_leads_inside(guard: GuardedWorkspace, link: str, target: str, fine: bool) -> None:
    """A step cannot make itself a way out."""
    if fine:
        guard.make_link(link, target)
        assert guard.read_link(link) == target
    else:
        with pytest.raises(PathRefused):
            guard.make_link(link, target)
        assert not (guard.root / link).is_symlink()


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        (".", "."),
        ("./a//b/", "a/b"),
        ("sub/../a", "a"),
        (Path("a/b"), "a/b"),
        ("/elsewhere/x", "/elsewhere/x"),
        (os.fsdecode(b"bad-\xff"), "bad-\\xff"),
    ],
)
def test_relative_is_how_outputs_name_a_path(guard: GuardedWorkspace, path: str | Path, relative: str) -> None:
    """Relative where it is inside, absolute elsewhere, and always text that JSON can hold."""
    assert guard.relative(path) == relative


def test_names_that_are_not_text_can_be_used(guard: GuardedWorkspace, root: Path) -> None:
    """An entry's path reaches the file again, whatever bytes its name has."""
    (root / os.fsdecode(b"bad-\xff")).write_text("x")
    (entry, _) = guard.scan(".")
    assert guard.read(entry.path, max_bytes=1) == b"x"


# --- cost -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("links")
def test_no_handle_is_left_open(root: Path) -> None:
    """Whether an operation is done, fails or is refused, it closes what it opened."""
    guard = GuardedWorkspace(root)
    before = os.listdir("/proc/self/fd")
    for path in [*INSIDE, *(path for path, _ in [*OUTSIDE, *OUTSIDE_BY_LINK]), "circle", "missing/x", "sub", ""]:
        for name, operation in {**OPERATIONS, **OPERATIONS_ON_NAMES}.items():
            if name in ("remove", "move from", "move to"):
                continue
            try:
                result = operation(guard, path)
            except (StepError, FileExistsError):
                continue
            if name == "open":
                result.close()  # type: ignore[attr-defined]
    guard.move("sub", "moved")
    guard.remove("moved", recursive=True)
    below = guard.open_below(".")
    next(below, None)
    below.close()  # type: ignore[attr-defined]
    assert os.listdir("/proc/self/fd") == before


def test_a_missing_workspace_leaves_no_handle_open(tmp_path: Path) -> None:
    """A walk that cannot begin again, because the workspace is gone, closes what it held once."""
    guard = GuardedWorkspace(tmp_path / "gone")
    before = os.listdir("/proc/self/fd")
    for path in ("a", "../gone/a", str(tmp_path / "gone" / "a"), "/tmp/../" + str(tmp_path / "gone" / "a")):
        with pytest.raises(StepError, match=r"cannot be used"):
            guard.open(path)
    assert os.listdir("/proc/self/fd") == before
