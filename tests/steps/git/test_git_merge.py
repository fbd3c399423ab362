"""git_merge."""

from __future__ import annotations

import pytest

from rustchain_airflow.steps.sdk import StepError, StepRefused


@pytest.fixture
def diverged(repo):
    """main and other have a commit of their own each, in different files."""
    repo.git("checkout", "-qb", "other")
    repo.commit({"theirs.txt": "t\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"ours.txt": "o\n"})
    return repo


@pytest.fixture
def conflicting(repo):
    """main and other have changed a.txt each in its own way."""
    repo.git("checkout", "-qb", "other")
    repo.commit({"a.txt": "theirs\n", "also new.txt": "theirs"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.txt": "ours\n", "also new.txt": "ours"})
    return repo


def head(repo):
    return repo.git("rev-parse", "HEAD").strip()


def test_merge_commit(run, diverged):
    """Branches that have diverged are joined by a commit with git's own message."""
    output = run("git_merge", {"branch": "other"})
    assert output == {"merged": True, "fast_forward": False, "hash": head(diverged), "conflicts": []}
    assert diverged.git("log", "-1", "--format=%s|%an").strip() == "Merge branch 'other'|Ada"
    assert (diverged.root / "theirs.txt").exists()


def test_fast_forward(run, repo):
    """A branch that only adds commits is moved forward, without anybody's name."""
    repo.git("checkout", "-qb", "other")
    tip = repo.commit({"b": "b"})
    repo.git("checkout", "-q", "main")
    repo.git("config", "--unset", "user.email")
    assert run("git_merge", {"branch": "other"}) == {
        "merged": True,
        "fast_forward": True,
        "hash": tip,
        "conflicts": [],
    }


def test_no_fast_forward(run, repo):
    """no_ff makes a commit where none is needed, with the message given."""
    repo.git("checkout", "-qb", "other")
    repo.commit({"b": "b"})
    repo.git("checkout", "-q", "main")
    output = run("git_merge", {"branch": "other", "no_ff": True, "message": "--squash"})
    assert output["fast_forward"] is False
    assert len(repo.git("rev-list", "--parents", "-1", "HEAD").split()) == 3
    assert repo.git("log", "-1", "--format=%s").strip() == "--squash"


def test_contained_already(run, repo):
    """A branch that is contained already is merged: nothing changes."""
    repo.git("branch", "old")
    repo.commit({"b": "b"})
    before = repo.state()
    output = run("git_merge", {"branch": "old"})
    assert (output["merged"], output["fast_forward"], output["hash"]) == (True, False, head(repo))
    assert repo.state() == before


@pytest.mark.parametrize("strategy", ["ort", "recursive", "resolve", "ours"])
def test_strategy(run, diverged, strategy):
    """The strategy is git's."""
    assert run("git_merge", {"branch": "other", "strategy": strategy})["merged"]
    assert (diverged.root / "theirs.txt").exists() is (strategy != "ours")


@pytest.mark.parametrize("name", ["tag", "commit", "expression"])
def test_revisions(run, diverged, name):
    """A tag, a commit or an expression is merged like a branch."""
    diverged.git("tag", "v1", "other")
    revision = {"tag": "v1", "commit": diverged.git("rev-parse", "other").strip(), "expression": "other~0"}[name]
    assert run("git_merge", {"branch": revision})["merged"]


@pytest.mark.parametrize("local_change", [False, True])
def test_conflict_aborts(run, conflicting, local_change):
    """On conflicts the step fails, names the files, and leaves all as it was, local changes too."""
    if local_change:
        conflicting.commit({"local.txt": "1"})
        conflicting.write({"local.txt": "2", "untracked.txt": "u"})
    before = conflicting.state()
    with pytest.raises(StepError, match=r"conflicts in a.txt, also new.txt; the repository was left") as failed:
        run("git_merge", {"branch": "other"})
    assert failed.value.output.conflicts == ["a.txt", "also new.txt"]
    assert failed.value.output.merged is False
    assert conflicting.state() == before


def test_conflict_kept(run, conflicting):
    """keep leaves the conflicts in the files, and a commit concludes the merge."""
    before = head(conflicting)
    output = run("git_merge", {"branch": "other", "on_conflict": "keep"})
    assert output == {"merged": False, "fast_forward": False, "hash": before, "conflicts": ["a.txt", "also new.txt"]}
    assert "<<<<<<< " in (conflicting.root / "a.txt").read_text()
    with pytest.raises(StepRefused, match=r"in progress already"):
        run("git_merge", {"branch": "other"})
    conflicting.write({"a.txt": "both\n", "also new.txt": "both"})
    run("git_commit", {"message": "merged"})
    assert len(conflicting.git("rev-list", "--parents", "-1", "HEAD").split()) == 3


def test_local_changes_in_the_way(run, conflicting):
    """Local changes that the merge would overwrite make git refuse before anything is touched."""
    conflicting.write({"a.txt": "local\n"})
    before = conflicting.state()
    with pytest.raises(StepError, match=r"would be overwritten by merge"):
        run("git_merge", {"branch": "other"})
    assert conflicting.state() == before


def test_hook_that_refuses(run, diverged):
    """A hook that refuses the merge fails the step, and the merge is undone."""
    diverged.hook("commit-msg", "echo 'no merges today' >&2; exit 1")
    before = diverged.state()
    with pytest.raises(StepError, match=r"undone: .*no merges today"):
        run("git_merge", {"branch": "other"})
    assert diverged.state() == before


def test_identity(run, diverged):
    """A merge commit needs somebody; author and email say who."""
    diverged.git("config", "--unset", "user.email")
    before = diverged.state()
    with pytest.raises(StepRefused, match=r"does not know who commits"):
        run("git_merge", {"branch": "other"})
    assert diverged.state() == before
    run("git_merge", {"branch": "other", "author": "Eve <eve@example.org>"})
    assert diverged.git("log", "-1", "--format=%ce").strip() == "eve@example.org"


def test_unborn(run, make_repo):
    """Merging into a branch without commits takes over the other."""
    repo = make_repo(files={"a": "a"})
    repo.git("checkout", "-q", "--orphan", "fresh")
    repo.git("rm", "-rqf", ".")
    output = run("git_merge", {"branch": "main"})
    assert (output["merged"], output["fast_forward"]) == (True, True)
    assert (repo.root / "a").exists()


def test_detached(run, diverged):
    """A detached HEAD is merged into as well."""
    diverged.git("checkout", "-q", "--detach")
    assert run("git_merge", {"branch": "other"})["merged"]


def test_worktree_and_folder(run, diverged):
    """The merge happens in the worktree that is named."""
    main = diverged.git("rev-parse", "main")
    diverged.git("worktree", "add", "-q", "-b", "side", "wt", "main")
    run("git_merge", {"branch": "other", "path": "wt"})
    assert diverged.git("rev-parse", "main") == main
    assert (diverged.root / "wt" / "theirs.txt").exists()


@pytest.mark.parametrize("branch", ["--upload-pack=x", "--abort", "-s", "nope", "main..other", "other main"])
def test_no_such_branch(run, diverged, branch):
    """What names no commit is a failure, and never an option."""
    before = diverged.state()
    with pytest.raises(StepError, match=r"names no commit"):
        run("git_merge", {"branch": branch})
    assert diverged.state() == before


def test_hostile_branch_that_exists(run, diverged):
    """A branch that somebody managed to name like an option is merged, not obeyed."""
    refs = diverged.root / ".git" / "refs" / "heads"
    (refs / "--abort").write_text(diverged.git("rev-parse", "other"))
    assert run("git_merge", {"branch": "--abort"})["merged"]
    assert (diverged.root / "theirs.txt").exists()
