"""git_status."""

from __future__ import annotations

import pytest

CLEAN = {
    "branch": "main",
    "clean": True,
    "ahead": None,
    "behind": None,
    "staged": [],
    "modified": [],
    "untracked": [],
    "deleted": [],
    "conflicted": [],
}


def change(repo, how):
    match how:
        case "untracked":
            repo.write({"new.txt": "x"})
        case "untracked folder":
            repo.write({"d/e/new.txt": "x"})
        case "staged new":
            repo.write({"new.txt": "x"})
            repo.git("add", "new.txt")
        case "modified":
            repo.write({"a.txt": "two\n"})
        case "staged and modified":
            repo.write({"a.txt": "two\n"})
            repo.git("add", "a.txt")
            repo.write({"a.txt": "three\n"})
        case "deleted":
            (repo.root / "a.txt").unlink()
        case "staged deletion":
            repo.git("rm", "-q", "a.txt")
        case "renamed":
            repo.git("mv", "a.txt", "z.txt")
        case "ignored":
            repo.write({".gitignore": "*.log\n", "x.log": "x"})
            repo.git("add", ".gitignore")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("nothing", {}),
        ("untracked", {"untracked": ["new.txt"]}),
        ("untracked folder", {"untracked": ["d/e/new.txt"]}),
        ("staged new", {"staged": ["new.txt"]}),
        ("modified", {"modified": ["a.txt"]}),
        ("staged and modified", {"staged": ["a.txt"], "modified": ["a.txt"]}),
        ("deleted", {"deleted": ["a.txt"]}),
        ("staged deletion", {"staged": ["a.txt"], "deleted": ["a.txt"]}),
        ("renamed", {"staged": ["z.txt"]}),
        ("ignored", {"staged": [".gitignore"]}),
    ],
)
def test_changes(run, repo, how, expected):
    """Every kind of change is in the lists that its row names, and nowhere else."""
    change(repo, how)
    assert run("git_status", {}) == {**CLEAN, "clean": not expected, **expected}


NAMES = [
    "with blank",
    "-dash",
    "new\nline",
    "tab\there",
    "quote\"'",
    "ümläut ☃",
    "back\\slash",
    " lead",
    "# branch",
    "a -> b",
]


@pytest.mark.parametrize("name", NAMES)
def test_names(run, repo, name):
    """A file name is given as it is, whatever it holds."""
    repo.write({name: "x"})
    assert run("git_status", {})["untracked"] == [name]
    repo.git("add", "--all")
    assert run("git_status", {})["staged"] == [name]


def test_not_utf8(run, repo):
    """Bytes of a name that are not UTF-8 are shown as replacement marks."""
    with open(repo.root.__fspath__().encode() + b"/\xff.txt", "wb"):
        pass
    assert run("git_status", {})["untracked"] == ["�.txt"]


def test_unborn(run, make_repo):
    """Before the first commit the branch has its name already."""
    make_repo().write({"x": "x"})
    assert run("git_status", {}) == {**CLEAN, "clean": False, "untracked": ["x"]}


def test_detached(run, repo):
    """A detached HEAD is on no branch."""
    repo.git("checkout", "-q", "--detach")
    assert run("git_status", {})["branch"] is None


def test_conflicted(run, repo):
    """Conflicts are a list of their own."""
    repo.git("checkout", "-qb", "other")
    repo.commit({"a.txt": "theirs\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.txt": "ours\n"})
    repo.git("merge", "-q", "other", check=False)
    assert run("git_status", {}) == {**CLEAN, "clean": False, "conflicted": ["a.txt"]}


def test_upstream(run, repo, make_repo, tmp_path):
    """Ahead and behind count commits against the upstream branch."""
    repo.git("checkout", "-qb", "up")
    repo.commit({"b.txt": "b"})
    repo.commit({"b.txt": "c"})
    repo.git("checkout", "-q", "main")
    repo.commit({"c.txt": "c"})
    repo.git("branch", "-q", "--set-upstream-to=up")
    output = run("git_status", {})
    assert (output["ahead"], output["behind"]) == (1, 2)


def test_worktree_and_folder(run, repo):
    """A worktree, and a folder below the top, give the whole tree relative to its top."""
    repo.commit({"d/x.txt": "x"})
    repo.git("worktree", "add", "-q", "-b", "side", "wt")
    (repo.root / "wt" / "d" / "new.txt").write_text("n")
    assert run("git_status", {"path": "wt/d"}) == {
        **CLEAN,
        "branch": "side",
        "clean": False,
        "untracked": ["d/new.txt"],
    }


def test_configuration_does_not_matter(run, repo):
    """The user's settings for status change nothing."""
    for name, value in (("status.short", "true"), ("status.branch", "false"), ("status.showUntrackedFiles", "no")):
        repo.git("config", name, value)
    repo.git("config", "status.relativePaths", "true")
    repo.git("config", "color.ui", "always")
    repo.write({"new.txt": "x"})
    assert run("git_status", {})["untracked"] == ["new.txt"]


def test_index_is_not_written(run, repo):
    """Asking changes nothing, not even the index's cached times."""
    (repo.root / "a.txt").touch()
    before = (repo.root / ".git" / "index").read_bytes()
    run("git_status", {})
    assert (repo.root / ".git" / "index").read_bytes() == before


def test_damaged_repository(run, repo):
    """A repository git cannot read is a failure with what git says, not a clean tree."""
    (repo.root / ".git" / "index").write_bytes(b"nonsense")
    from rustchain_airflow.steps.sdk import StepError

    with pytest.raises(StepError, match=r"git .* failed: .*index"):
        run("git_status", {})
