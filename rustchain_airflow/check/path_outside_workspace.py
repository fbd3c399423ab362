"""RC501: a path that leaves the workspace."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.check.shared_path_race import literal_paths


@rule("RC501", "path-outside-workspace")
def path_outside_workspace(draft: Draft) -> Iterator[Found]:
    """A relative path climbs out of the workspace. The path guard would refuse it when the step runs (semantics §8.1).

    Absolute paths are judged at run time, when the workspace and what the policy adds to it are known.
    """
    for step in draft.steps:
        for key, path, _ in literal_paths(step):
            normal = posixpath.normpath(path)
            if normal == ".." or normal.startswith("../"):
                yield Found((*step.path, "parameters", key), f'path "{path}" leaves the workspace')
