"""git_commit."""

from __future__ import annotations

import os
import re
import resource

import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused


def names(repo):
    return sorted(filter(None, repo.git("ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")))


def test_all_changes(run, repo):
    """By default everything that changed, appeared or disappeared is committed, and ignored files are not."""
    repo.commit({"gone.txt": "x", ".gitignore": "*.log\n"})
    repo.write({"a.txt": "two\n", "new/b.txt": "b", "x.log": "no"})
    (repo.root / "gone.txt").unlink()
    output = run("git_commit", {"message": "change"})
    assert output == {
        "committed": True,
        "hash": repo.git("rev-parse", "HEAD").strip(),
        "branch": "main",
        "files_changed": 3,
        "message": "change",
    }
    assert names(repo) == [".gitignore", "a.txt", "new/b.txt"]
    assert (
        repo.git("log", "-1", "--format=%an <%ae> %cn <%ce>").strip() == "Ada <ada@example.org> Ada <ada@example.org>"
    )


def test_nothing_to_commit(run, repo):
    """Nothing to commit is a success that says so."""
    head = repo.git("rev-parse", "HEAD").strip()
    assert run("git_commit", {"message": "m"}) == {
        "committed": False,
        "hash": head,
        "branch": "main",
        "files_changed": 0,
        "message": "m",
    }


def test_nothing_to_commit_needs_no_identity(run, make_repo):
    """Before the first commit, with nothing there, there is no commit to name."""
    make_repo()
    assert run("git_commit", {"message": "m"})["hash"] is None


def test_allow_empty(run, repo):
    """With allow_empty a commit is made all the same."""
    output = run("git_commit", {"message": "m", "allow_empty": "true"})
    assert (output["committed"], output["files_changed"]) == (True, 0)
    assert repo.git("rev-list", "--count", "HEAD").strip() == "2"


def test_files_only(run, repo):
    """With files, only they are committed; what else was staged stays staged."""
    repo.write({"b.txt": "b", "c.txt": "c", "staged.txt": "s"})
    repo.git("add", "staged.txt")
    output = run("git_commit", {"message": "m", "files": ["b.txt"]})
    assert output["files_changed"] == 1
    assert names(repo) == ["a.txt", "b.txt"]
    assert repo.git("status", "--porcelain").splitlines() == ["A  staged.txt", "?? c.txt"]


def test_deleted_file_by_name(run, repo):
    """A file that is gone is committed as removed."""
    (repo.root / "a.txt").unlink()
    assert run("git_commit", {"message": "m", "files": ["a.txt"]})["files_changed"] == 1
    assert names(repo) == []


def test_unchanged_files(run, repo):
    """Files without changes are nothing to commit, whatever else has changed."""
    repo.write({"b.txt": "b"})
    assert run("git_commit", {"message": "m", "files": ["a.txt"]})["committed"] is False


def test_first_commit(run, make_repo):
    """The first commit of an unborn branch counts all its files."""
    repo = make_repo()
    repo.identify()
    repo.write({"x": "1", "y": "2"})
    output = run("git_commit", {"message": "first"})
    assert (output["files_changed"], output["branch"]) == (2, "main")


@pytest.mark.parametrize(
    "name", ["with blank", "-A", "--all", "new\nline", "*", ":(top)x", "ümläut ☃", "back\\slash", "[a]", ":!a.txt"]
)
def test_names(run, repo, name):
    """A file name is a name: never an option, never a pattern."""
    repo.write({name: "x", "other": "o"})
    run("git_commit", {"message": "m", "files": [name]})
    assert names(repo) == sorted(["a.txt", name])


@pytest.mark.parametrize(
    "message",
    ["--amend", "-m", "# not a comment", "two\n\nparagraphs", "ümläut ☃ 漢字", "x" * 300_000, "$(id) `id` 'q\""],
)
def test_messages(run, repo, message):
    """A message is recorded as it is, whatever it looks like and however long it is."""
    repo.write({"b": "b"})
    assert run("git_commit", {"message": message})["message"] == message
    assert repo.git("log", "-1", "--format=%B").rstrip("\n") == message


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ({"author": "Eve", "email": "eve@example.org"}, "Eve <eve@example.org>"),
        ({"author": "Eve X <eve@example.org>"}, "Eve X <eve@example.org>"),
        ({"author": "Eve"}, "Eve <ada@example.org>"),
        ({"email": "new@example.org"}, "Ada <new@example.org>"),
    ],
)
def test_author(run, repo, given, recorded):
    """author and email say who commits; what they leave out is as git is configured."""
    repo.write({"b": "b"})
    run("git_commit", {"message": "m", **given})
    assert repo.git("log", "-1", "--format=%an <%ae>|%cn <%ce>").strip() == f"{recorded}|{recorded}"


def test_no_identity(run, make_repo):
    """Where nothing says who commits, the step is refused and says what to give."""
    repo = make_repo(files={"a": "a"})
    repo.write({"b": "b"})
    head = repo.git("rev-parse", "HEAD")
    with pytest.raises(StepRefused, match=r"give author and email, or set user.name and user.email"):
        run("git_commit", {"message": "m"})
    assert repo.git("rev-parse", "HEAD") == head


def test_identity_by_parameters_alone(run, make_repo):
    """author and email are enough where nothing is configured."""
    repo = make_repo()
    repo.write({"b": "b"})
    assert run("git_commit", {"message": "m", "author": "Eve <eve@example.org>"})["committed"]


def test_sign_off(run, repo):
    """sign_off adds the line git adds."""
    repo.write({"b": "b"})
    assert (
        run("git_commit", {"message": "m", "sign_off": True})["message"] == "m\n\nSigned-off-by: Ada <ada@example.org>"
    )


def test_hook_that_fails(run, repo):
    """A failing hook fails the step with what it said; HEAD stays, the changes stay staged."""
    repo.hook("pre-commit", "echo looked; echo 'tabs are wrong' >&2; exit 3")
    repo.write({"b": "b"})
    head = repo.git("rev-parse", "HEAD")
    with pytest.raises(StepError, match=r"tabs are wrong") as failed:
        run("git_commit", {"message": "m"})
    assert "tabs are wrong" in failed.value.output["stderr"]
    assert failed.value.output["committed"] is False
    assert repo.git("rev-parse", "HEAD") == head
    assert repo.git("status", "--porcelain").splitlines() == ["A  b"]


def test_hook_that_changes(run, repo):
    """What a hook adds to the message is in the output."""
    repo.hook("commit-msg", 'echo "Ticket: 7" >> "$1"')
    repo.write({"b": "b"})
    assert run("git_commit", {"message": "m"})["message"] == "m\nTicket: 7"


def test_detached(run, repo):
    """On a detached HEAD the commit is made, on no branch."""
    repo.git("checkout", "-q", "--detach")
    repo.write({"b": "b"})
    output = run("git_commit", {"message": "m"})
    assert (output["committed"], output["branch"]) == (True, None)


def test_worktree_and_folder(run, repo):
    """In a worktree and below its top, all changes of that worktree are meant, and files are relative to path."""
    repo.commit({"d/x.txt": "x"})
    repo.git("worktree", "add", "-q", "-b", "side", "wt")
    (repo.root / "wt" / "d" / "x.txt").write_text("new")
    (repo.root / "wt" / "top.txt").write_text("t")
    assert run("git_commit", {"message": "m", "path": "wt/d", "files": ["x.txt"]})["files_changed"] == 1
    output = run("git_commit", {"message": "m", "path": "wt/d"})
    assert (output["files_changed"], output["branch"]) == (1, "side")
    assert repo.git("log", "-1", "--format=%s", "main").strip() == "setup"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["../outside.txt"], "outside the repository"),
        (["/etc/passwd"], "outside the repository"),
        (["a.txt", "d/../../x"], "outside the repository"),
        ([""], "is not a path"),
    ],
)
def test_files_outside(run, repo, files, message):
    """A file outside the repository is refused before anything is staged."""
    repo.write({"a.txt": "two"})
    with pytest.raises(StepRefused, match=message):
        run("git_commit", {"message": "m", "files": files})
    assert repo.git("diff", "--cached", "--name-only") == ""


def test_absolute_file(run, repo, workspace):
    """An absolute path inside the repository is fine."""
    repo.write({"b": "b"})
    assert run("git_commit", {"message": "m", "files": [str(repo.root / "b")]})["files_changed"] == 1


def test_file_behind_a_link(run, repo, tmp_path):
    """A file reached through a link out of the repository is not committed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("secret")
    (repo.root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(StepError, match=r"beyond a symbolic link"):
        run("git_commit", {"message": "m", "files": ["link/f"]})


def test_unknown_and_ignored_files(run, repo):
    """A file that is not there, or is ignored, fails the step with git's word."""
    with pytest.raises(StepError, match=r"did not match any files"):
        run("git_commit", {"message": "m", "files": ["nope"]})
    repo.commit({".gitignore": "*.log"})
    repo.write({"x.log": "x"})
    with pytest.raises(StepError, match=r"ignored by one of your .gitignore files"):
        run("git_commit", {"message": "m", "files": ["x.log"]})


def test_locked_index(run, repo):
    """While somebody else holds the index the step fails, and may be tried again."""
    (repo.root / ".git" / "index.lock").touch()
    repo.write({"b": "b"})
    with pytest.raises(StepError, match=r"index.lock") as failed:
        run("git_commit", {"message": "m"})
    assert not isinstance(failed.value, StepRefused)


def conflict(repo):
    repo.git("checkout", "-qb", "other")
    repo.commit({"a.txt": "theirs\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.txt": "ours\n"})
    repo.git("merge", "-q", "other", check=False)


@pytest.mark.parametrize("files", [None, ["a.txt"]])
def test_concluding_a_merge(run, repo, files):
    """A resolved conflict is committed as the merge it is; conflict marks never are."""
    conflict(repo)
    with pytest.raises(StepRefused, match=r'"a.txt" still holds conflict marks'):
        run("git_commit", {"message": "m", **({"files": files} if files else {})})
    assert repo.git("ls-files", "-u") != ""
    repo.write({"a.txt": "both\n"})
    output = run("git_commit", {"message": "merged", **({"files": files} if files else {})})
    assert (output["committed"], output["files_changed"]) == (True, 1)
    assert len(repo.git("rev-list", "--parents", "-1", "HEAD").split()) == 3


@pytest.mark.parametrize("parameters", [{}, {"message": ""}, {"message": " \n"}, {"message": "m", "files": []}])
def test_parameters(run, repo, parameters):
    """A message is needed, and an empty list of files is not all files."""
    with pytest.raises(ValidationError):
        run("git_commit", parameters)


def test_full_file_system(run, repo):
    """A commit that cannot be written leaves the branch where it was."""
    repo.write({"big.bin": bytes(range(256)) * 4096 + os.urandom(200_000)})
    before = repo.git("rev-parse", "HEAD")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StepError) as failed:
            run("git_commit", {"message": "m"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.match("git add failed", str(failed.value))
    assert repo.git("rev-parse", "HEAD") == before
    assert repo.git("fsck", "--no-dangling").strip() == ""
