"""One git repository inside the workspace: finding it, running git in it, and reading what git says."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from rustchain_airflow.steps.sdk import PathAccess, ProcessResult, StepContext, StepError, StepRefused

MAX_LISTING_BYTES = 64 * 1024 * 1024
"""What one listing of git may hold; beyond it a step fails rather than judge half a listing."""

_LONGEST_FAULT = 2000
_LOCATION_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
"""They would lead git to another repository than the one the step names: set where a hook started us."""

_ALWAYS = {
    "LC_ALL": "C",
    "LANGUAGE": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
    "GIT_LITERAL_PATHSPECS": "1",
}


class Repository:
    """The repository that a folder of the workspace belongs to.

    Raises StepRefused where git is not installed, for a repository (or its git folder) that lies outside the
    workspace, and for a bare one; StepError where there is none. Names of branches and revisions reach git only
    after they were judged, so none of them is read as an option.
    """

    def __init__(self, path: str, context: StepContext) -> None:
        self._context = context
        self._path = path
        self._trusted = False
        entry = context.workspace.entry(path)
        if entry is None:
            raise StepError(f'folder "{path}" does not exist')
        if not entry.is_dir:
            raise StepError(f'"{path}" is not a folder')
        folder = context.workspace.locate(path)
        self._environment = {
            **_ALWAYS,
            # git looks for a repository here and above, but not above the workspace
            "GIT_CEILING_DIRECTORIES": os.fspath(context.workspace.locate(".").parent),
        }
        self._program = _program(context.environment)
        self.top = self._find()
        """The top of the working tree, links resolved."""
        self.prefix = posixpath.relpath(folder.as_posix(), self.top.as_posix())
        """The folder the step names, relative to the top."""

    # --- running ----------------------------------------------------------------------------------

    def try_git(
        self,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
        max_output_bytes: int = MAX_LISTING_BYTES,
    ) -> ProcessResult:
        """Run git in the step's folder, however it ends; ``settings`` are configuration for this call only."""
        options = [
            option
            for name, value in {**self._trust(), **(settings or {})}.items()
            for option in ("-c", f"{name}={value}")
        ]
        return self._context.processes.run(
            [*self._program, *options, *arguments],
            working_dir=self._path,
            environment={**self._environment, **(environment or {})},
            stdin=stdin,
            max_output_bytes=max_output_bytes,
        )

    def git(
        self,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        """What git says; StepError when it fails, or says more than can be held."""
        result = self.try_git(*arguments, settings=settings, environment=environment, stdin=stdin)
        if result.exit_code != 0:
            raise StepError(f"git {arguments[0]} failed: {fault(result)}")
        if result.truncated:
            raise StepError(f"git {arguments[0]} lists more than {MAX_LISTING_BYTES} bytes")
        return result.stdout

    # --- asking -----------------------------------------------------------------------------------

    def branch(self) -> str | None:
        """The current branch, also before its first commit; None when HEAD is detached."""
        result = self.try_git("symbolic-ref", "--quiet", "HEAD")
        return result.stdout.removesuffix("\n").removeprefix("refs/heads/") if result.exit_code == 0 else None

    def head(self) -> str | None:
        """The current commit; None before the first."""
        return self._object("HEAD^{commit}")

    def commit(self, revision: str) -> str:
        """The commit that a branch, tag or expression names; StepError when it names none."""
        return self._named(revision, "commit")

    def tree(self, revision: str) -> str:
        """The tree that a revision names; StepError when it names none."""
        return self._named(revision, "tree")

    def has_reference(self, name: str) -> bool:
        """Whether a full reference name (``refs/heads/main``) exists."""
        return self.try_git("show-ref", "--verify", "--quiet", "--", name).exit_code == 0

    def branches(self) -> list[str]:
        """All local branches in name order."""
        listing = self.git("for-each-ref", "--format=%(refname)", "refs/heads/")
        return [line.removeprefix("refs/heads/") for line in listing.splitlines()]

    def is_merging(self) -> bool:
        return self._object("MERGE_HEAD") is not None

    def unmerged(self) -> list[str]:
        """Files with unresolved conflicts, relative to the top, in name order."""
        return sorted(
            {
                record.partition("\t")[2]
                for record in fields(self.git("ls-files", "-u", "-z", "--full-name", "--", *self.everything()))
            }
        )

    def everything(self) -> list[str]:
        """A pathspec for the whole working tree, as seen from the step's folder."""
        return [posixpath.relpath(".", self.prefix)]

    def pathspecs(self, paths: Sequence[str]) -> list[str]:
        """Paths relative to the step's folder, for use after ``--``. StepRefused for one outside the repository."""
        for path in paths:
            if not path or "\0" in path:
                raise StepRefused(f'"{path}" is not a path')
            whole = posixpath.normpath(posixpath.join(self.top.as_posix(), self.prefix, path))
            if whole != self.top.as_posix() and not whole.startswith(self.top.as_posix().rstrip("/") + "/"):
                raise StepRefused(f'"{path}" is outside the repository')
        return list(paths)

    # --- committing -------------------------------------------------------------------------------

    def identity(self, author: str | None, email: str | None) -> dict[str, str]:
        """Environment in which git commits as ``author``, or as its configuration says where that is left out.

        ``author`` may be a name or ``Name <email>``. StepRefused when neither says who commits.
        """
        if author and email is None and author.endswith(">") and "<" in author:
            name, _, address = author[:-1].partition("<")
            author, email = name.strip() or None, address.strip()
        given = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", author), ("EMAIL", email))
            if value
        }
        for role in ("AUTHOR", "COMMITTER"):
            # without this setting git makes an address up from the name of the machine, where it has one
            asked = self.try_git("var", f"GIT_{role}_IDENT", settings={"user.useConfigOnly": "true"}, environment=given)
            if asked.exit_code != 0:
                raise StepRefused(
                    "git does not know who commits: give author and email, or set user.name and user.email in the "
                    f"configuration of the repository ({fault(asked)})"
                )
        return given

    # --- below ------------------------------------------------------------------------------------

    def _find(self) -> Path:
        asked = self.try_git("rev-parse", "--is-bare-repository", "--is-inside-work-tree")
        if asked.exit_code != 0 and "dubious ownership" in asked.stderr:
            # It belongs to another user, as on storage that workers share. That it is inside the workspace,
            # which we trust, is checked below; the exception is made for our own calls only.
            self._trusted = True
            asked = self.try_git("rev-parse", "--is-bare-repository", "--is-inside-work-tree")
        if asked.exit_code != 0:
            if "not a git repository" in asked.stderr:
                raise StepError(f'"{self._path}" is not in a git repository that lies inside the workspace')
            raise StepError(f"git cannot use the repository: {fault(asked)}")
        bare, inside = asked.stdout.split()
        if inside != "true":
            kind = "a bare repository, which has no working tree" if bare == "true" else "inside a git folder"
            raise StepRefused(f'"{self._path}" is {kind}')
        top = Path(self.git("rev-parse", "--show-toplevel").removesuffix("\n"))
        common = Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir").removesuffix("\n"))
        for place, what in ((top, "the repository"), (common, "the git folder of the repository")):
            try:
                self._context.workspace.locate(os.fspath(place), access=PathAccess.WRITE)
            except StepRefused as error:
                raise StepRefused(f"{what} is outside the workspace: {place}") from error
        return top

    def _trust(self) -> dict[str, str]:
        return {"safe.directory": "*"} if self._trusted else {}

    def _object(self, expression: str) -> str | None:
        asked = self.try_git("rev-parse", "--verify", "--quiet", "--end-of-options", expression)
        return asked.stdout.strip() if asked.exit_code == 0 else None

    def _named(self, revision: str, kind: str) -> str:
        found = None if not revision or "\0" in revision else self._object(f"{revision}^{{{kind}}}")
        if found is None:
            raise StepError(f'"{revision}" names no {kind} in this repository')
        return found


def fields(listing: str) -> list[str]:
    """What a listing with ``-z`` holds."""
    return listing.split("\0")[:-1]


def fault(result: ProcessResult) -> str:
    """What git said, on one line; the end of it where it is long."""
    said = " ".join((result.stderr.strip() or result.stdout.strip()).split())
    if len(said) > _LONGEST_FAULT:
        said = f"… {said[-_LONGEST_FAULT:]}"
    return said or f"exit code {result.exit_code}"


def check_branch_name(repository: Repository, name: str) -> None:
    """StepRefused for what git does not take as the name of a new branch."""
    if "\0" in name or name.startswith("-") or name == "@" or "@{" in name:
        raise StepRefused(f'"{name}" is not a valid branch name')
    if repository.try_git("check-ref-format", "--branch", name).exit_code != 0:
        raise StepRefused(f'"{name}" is not a valid branch name')


def _program(environment: Mapping[str, str]) -> list[str]:
    if shutil.which("git", path=environment.get("PATH", os.defpath)) is None:
        raise StepRefused("git is not installed; install the package git (apt-get install git, brew install git)")
    misleading = [name for name in _LOCATION_VARIABLES if name in environment]
    return ["env", *(f"-u{name}" for name in misleading), "git"] if misleading else ["git"]
