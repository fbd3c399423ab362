"""git_branch."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused


def test_create(run, repo):
    """A branch is created and switched to; doing it again is fine."""
    assert run("git_branch", {"branch": "feature/x"}) == {
        "branch": "feature/x",
        "action": "create",
        "created": True,
        "current": "feature/x",
        "branches": ["feature/x", "main"],
    }
    assert repo.git("symbolic-ref", "HEAD").strip() == "refs/heads/feature/x"
    assert run("git_branch", {"name": "feature/x"})["created"] is False


def test_create_without_switching(run, repo):
    """With switch: false the working tree stays where it is."""
    output = run("git_branch", {"branch": "x", "switch": False})
    assert (output["created"], output["current"], output["branches"]) == (True, "main", ["main", "x"])


def test_create_keeps_changes(run, repo):
    """Uncommitted changes come along to the new branch."""
    repo.write({"a.txt": "two\n", "new": "n"})
    run("git_branch", {"branch": "x"})
    assert (repo.root / "a.txt").read_text() == "two\n"
    assert (repo.root / "new").exists()


@pytest.mark.parametrize("switch", [True, False])
def test_from(run, repo, switch):
    """from says where a branch starts: a branch, a tag, a commit, an expression."""
    first = repo.git("rev-parse", "HEAD").strip()
    repo.git("tag", "v1")
    repo.commit({"b": "b"})
    for number, start in enumerate(["v1", first[:10], "main~1", "HEAD^"]):
        run("git_branch", {"branch": f"b{number}", "from": start, "switch": switch})
        assert repo.git("rev-parse", f"b{number}").strip() == first
        repo.git("checkout", "-q", "main")


def test_exist_not_ok(run, repo):
    """With exist_ok: false a branch that is there is a failure."""
    with pytest.raises(StepError, match=r'branch "main" exists already'):
        run("git_branch", {"branch": "main", "exist_ok": "false"})


def test_switch(run, repo):
    """switch goes to a branch that exists, and names those there are when it does not."""
    repo.git("branch", "x")
    assert run("git_branch", {"branch": "x", "action": "switch"})["current"] == "x"
    with pytest.raises(StepError, match=r"branches: main, x"):
        run("git_branch", {"branch": "y", "action": "switch"})


def test_switch_that_would_lose_changes(run, repo):
    """Where local changes would be lost, git refuses and nothing is changed."""
    repo.git("checkout", "-qb", "x")
    repo.commit({"a.txt": "x\n"})
    repo.git("checkout", "-q", "main")
    repo.write({"a.txt": "local\n"})
    before = repo.state()
    with pytest.raises(StepError, match=r"would be overwritten"):
        run("git_branch", {"branch": "x", "action": "switch"})
    with pytest.raises(StepError, match=r"would be overwritten"):
        run("git_branch", {"branch": "new", "from": "x"})
    assert repo.state() == before


def test_delete(run, repo):
    """A merged branch is deleted; the current, a missing and an unmerged one are not."""
    repo.git("branch", "x")
    assert run("git_branch", {"branch": "x", "action": "delete"})["branches"] == ["main"]
    with pytest.raises(StepError, match=r"no branch"):
        run("git_branch", {"branch": "x", "action": "delete"})
    with pytest.raises(StepError, match=r"is checked out"):
        run("git_branch", {"branch": "main", "action": "delete"})
    repo.git("checkout", "-qb", "work")
    repo.commit({"w": "w"})
    repo.git("checkout", "-q", "main")
    with pytest.raises(StepError, match=r"not fully merged"):
        run("git_branch", {"branch": "work", "action": "delete"})
    assert "work" in repo.git("branch")


def test_list(run, repo):
    """list needs no branch and names all of them in order."""
    for name in ("z", "ümläut", "a/b"):
        repo.git("branch", name)
    output = run("git_branch", {"action": "list"})
    assert (output["branch"], output["created"], output["current"]) == (None, False, "main")
    assert output["branches"] == ["a/b", "main", "z", "ümläut"]


def test_unborn(run, make_repo):
    """Before the first commit a created branch is the one that the first commit will be on."""
    repo = make_repo()
    output = run("git_branch", {"branch": "trunk"})
    assert (output["created"], output["current"], output["branches"]) == (True, "trunk", [])
    assert run("git_branch", {"branch": "trunk"})["created"] is False
    with pytest.raises(StepError, match=r"no commit yet"):
        run("git_branch", {"branch": "other", "switch": False})
    assert repo.git("symbolic-ref", "HEAD").strip() == "refs/heads/trunk"


def test_detached(run, repo):
    """From a detached HEAD a branch starts at its commit."""
    repo.git("checkout", "-q", "--detach")
    assert run("git_branch", {"action": "list"})["current"] is None
    assert run("git_branch", {"branch": "x"})["current"] == "x"


def test_worktree(run, repo):
    """A worktree has a current branch of its own, and one of another worktree cannot be taken."""
    repo.git("worktree", "add", "-q", "-b", "side", "wt")
    assert run("git_branch", {"action": "list", "path": "wt"})["current"] == "side"
    with pytest.raises(StepError, match=r"already (checked out|used by worktree)"):
        run("git_branch", {"branch": "side", "action": "switch"})


@pytest.mark.parametrize(
    "name",
    [
        "--upload-pack=touch pwned",
        "-d",
        "-",
        "--orphan",
        "a b",
        "a..b",
        "a~1",
        "@{-1}",
        "x.lock",
        "a\nb",
        "@",
        "HEAD",
        "*",
        "a:b",
    ],
)
@pytest.mark.parametrize("action", ["create", "switch", "delete"])
def test_hostile_names(run, repo, name, action):
    """What is no branch name is refused, and never reaches git as an option."""
    repo.git("branch", "other")
    before = repo.state()
    with pytest.raises(StepRefused, match=r"not a valid branch name"):
        run("git_branch", {"branch": name, "action": action})
    assert repo.state() == before


@pytest.mark.parametrize("start", ["--upload-pack=x", "-q", "--all", "nope", "main..main", "main\0x"])
def test_hostile_start(run, repo, start):
    """from is a revision or nothing."""
    with pytest.raises(StepError, match=r"names no commit"):
        run("git_branch", {"branch": "x", "from": start})
    assert repo.git("branch", "--list", "x") == ""


@pytest.mark.parametrize("parameters", [{}, {"action": "switch"}, {"branch": ""}, {"branch": "x", "action": "rename"}])
def test_parameters(run, repo, parameters):
    """All but list need a branch."""
    with pytest.raises(ValidationError):
        run("git_branch", parameters)
