"""git_diff."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused


def file(path, added, removed, status, old_path=None):
    return {"path": path, "added": added, "removed": removed, "status": status, "old_path": old_path}


def test_nothing(run, repo):
    """A tree without changes has an empty diff."""
    assert run("git_diff", {}) == {"diff": "", "files": [], "has_changes": False, "truncated": False}


def test_working_tree(run, repo):
    """Without revisions: what is changed and not staged; untracked files are not part of it."""
    repo.write({"a.txt": "two\n", "new": "n"})
    output = run("git_diff", {})
    assert output["files"] == [file("a.txt", 1, 1, "modified")]
    assert output["diff"].startswith("diff --git a/a.txt b/a.txt\n")
    assert output["diff"].endswith("@@ -1 +1 @@\n-one\n+two\n")


def test_staged(run, repo):
    """staged shows what the next commit holds, also before the first commit."""
    repo.write({"a.txt": "two\n"})
    repo.git("add", "a.txt")
    repo.write({"a.txt": "three\n"})
    assert "+two" in run("git_diff", {"staged": True})["diff"]
    assert "+three" in run("git_diff", {"staged": False})["diff"]


def test_unborn(run, make_repo):
    """Before the first commit what is staged is all new."""
    repo = make_repo()
    repo.write({"x": "1\n2\n"})
    repo.git("add", "x")
    assert run("git_diff", {"staged": True})["files"] == [file("x", 2, 0, "added")]


def test_revisions(run, repo):
    """from and to compare any two revisions; each alone has the other default to now or to HEAD."""
    repo.git("tag", "v1")
    repo.commit({"a.txt": "two\n", "b.txt": "b\n"})
    both = [file("a.txt", 1, 1, "modified"), file("b.txt", 1, 0, "added")]
    assert run("git_diff", {"from": "v1", "to": "main"})["files"] == both
    assert run("git_diff", {"from": "v1"})["files"] == both
    assert [f["status"] for f in run("git_diff", {"to": "v1"})["files"]] == ["modified", "deleted"]
    repo.write({"a.txt": "three\n"})
    assert "+three" in run("git_diff", {"from": "v1"})["diff"]
    repo.git("add", "--all")
    assert "+three" in run("git_diff", {"from": "v1", "staged": True})["diff"]


def test_kinds_of_change(run, repo):
    """Each kind of change has its word; a binary file has no lines; a rename keeps its old name."""
    lines = "".join(f"line {number}\n" for number in range(50))
    repo.commit({"moved": lines, "gone": "x\n", "type": "x\n", "bin": b"\0\1"})
    repo.git("mv", "moved", "arrived")
    repo.git("rm", "-q", "gone")
    repo.write({"bin": b"\0\2", "fresh": "f\n"})
    (repo.root / "type").unlink()
    (repo.root / "type").symlink_to("a.txt")
    repo.git("add", "--all")
    assert run("git_diff", {"staged": True})["files"] == [
        file("arrived", 0, 0, "renamed", "moved"),
        file("bin", None, None, "modified"),
        file("fresh", 1, 0, "added"),
        file("gone", 0, 1, "deleted"),
        file("type", 1, 1, "type_changed"),
    ]


def test_conflict(run, repo):
    """A file in conflict is there once, as unmerged."""
    repo.git("checkout", "-qb", "other")
    repo.commit({"a.txt": "theirs\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.txt": "ours\n"})
    repo.git("merge", "-q", "other", check=False)
    (changed,) = run("git_diff", {})["files"]
    assert (changed["path"], changed["status"]) == ("a.txt", "unmerged")


@pytest.mark.parametrize(
    "name", ["with blank", "-dash", "new\nline", "tab\there", "ümläut ☃", ":100644 x", "1\t2\tx", "*"]
)
def test_names(run, repo, name):
    """A file name is given as it is, whatever it holds, and paths are names, not patterns."""
    repo.commit({name: "x\n", "other": "o\n"})
    repo.write({name: "y\n", "other": "p\n"})
    assert run("git_diff", {"paths": [name]})["files"] == [file(name, 1, 1, "modified")]


def test_paths(run, repo):
    """paths are relative to path; without them the whole repository is meant, from a folder too."""
    repo.commit({"d/x": "1\n", "d/y": "1\n"})
    repo.write({"d/x": "2\n", "d/y": "2\n", "a.txt": "2\n"})
    assert [f["path"] for f in run("git_diff", {"path": "d", "paths": ["x"]})["files"]] == ["d/x"]
    assert [f["path"] for f in run("git_diff", {"path": "d"})["files"]] == ["a.txt", "d/x", "d/y"]
    with pytest.raises(StepRefused, match=r"outside the repository"):
        run("git_diff", {"paths": ["../x"]})


@pytest.mark.parametrize(("context_lines", "unchanged"), [(0, 0), (3, 6), ("5", 10)])
def test_context(run, repo, context_lines, unchanged):
    """context is how many unchanged lines surround a change."""
    lines = [f"{number}\n" for number in range(40)]
    repo.commit({"n": "".join(lines)})
    repo.write({"n": "".join(lines[:20]) + "changed\n" + "".join(lines[21:])})
    diff = run("git_diff", {"context": context_lines})["diff"]
    assert sum(line.startswith(" ") for line in diff.splitlines()) == unchanged


def test_too_long(run, repo):
    """Beyond max_bytes the patch ends, says so, and every file is listed all the same."""
    repo.commit({"b": "b\n"})
    repo.write({"a.txt": "x" * 5000 + "\n", "b": "c\n"})
    output = run("git_diff", {"max_bytes": 100})
    assert (len(output["diff"]), output["truncated"], output["has_changes"]) == (100, True, True)
    assert [f["path"] for f in output["files"]] == ["a.txt", "b"]


def test_not_utf8(run, repo):
    """Content that is not UTF-8 is shown with replacement marks."""
    repo.commit({"latin": "caf\u00e9\n".encode("latin-1")})
    repo.write({"latin": "th\u00e9\n".encode("latin-1")})
    assert "+th�" in run("git_diff", {})["diff"]


def test_configuration_does_not_matter(run, repo, tmp_path):
    """Nothing of the user's configuration changes the result, and no program of theirs is run."""
    repo.write({"a.txt": "two\n"})
    plain = run("git_diff", {})
    repo.write({".git/info/attributes": "*.txt diff=own\n"})
    for name, value in (
        ("diff.external", f"touch {tmp_path}/ran"),
        ("diff.own.command", f"touch {tmp_path}/ran"),
        ("diff.own.textconv", f"touch {tmp_path}/ran"),
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.context", "0"),
        ("color.ui", "always"),
        ("diff.relative", "true"),
        ("diff.wordRegex", "."),
    ):
        repo.git("config", name, value)
    assert run("git_diff", {}) == plain
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("revision", ["--output=pwned", "-R", "nope", "main..main"])
@pytest.mark.parametrize("side", ["from", "to"])
def test_no_such_revision(run, repo, side, revision):
    """What names no revision is a failure, and never an option."""
    with pytest.raises(StepError, match=r"names no tree"):
        run("git_diff", {side: revision})
    assert not (repo.root / "pwned").exists()


@pytest.mark.parametrize(
    "parameters", [{"staged": True, "to": "main"}, {"context": -1}, {"max_bytes": -1}, {"paths": []}]
)
def test_parameters(run, repo, parameters):
    """staged already says what is compared to."""
    with pytest.raises(ValidationError):
        run("git_diff", parameters)


def test_missing_objects(run, repo):
    """A repository that has lost objects fails the step, rather than show no changes."""
    repo.commit({"a.txt": "two\n"})
    tree = repo.git("rev-parse", "HEAD^{tree}").strip()
    (repo.root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(StepError):
        run("git_diff", {"from": "HEAD~1", "to": "HEAD"})
