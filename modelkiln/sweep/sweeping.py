"""A sweep from its beginning to its end: by DVC's queue, or by Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelkiln import plugins
from modelkiln.compose import compose
from modelkiln.errors import ModelkilnError
from modelkiln.git import git
from modelkiln.progress import say
from modelkiln.sweep import attempt, on_ray, queue, shell
from modelkiln.sweep.attempts import left_to_do
from modelkiln.sweep.cells import Cell

# What differs from the commit without a cell seeing it: the stages write the one, and each cell composes the other.
NOT_SEEN = (":!dvc.lock", ":!receipts", ":!params.yaml")


def by_dvc(cells: Sequence[Cell], workers: int) -> None:
    """Runs the cells that have no experiment on HEAD yet, and says how many have failed."""
    commit = shell.commit()
    due = left_to_do(cells, attempt.experiments_at(".", commit))
    say(f"{len(cells) - len(due)} of {len(cells)} cells have an experiment on {commit[:12]} already")
    if due:
        queue.run(due, workers)
    _say_what_is_left(cells, commit)


def by_ray(
    cells: Sequence[Cell], cluster: on_ray.Cluster, repository: str | None, retries: int, minutes: float | None
) -> None:
    """Runs the cells that have no experiment yet on the nodes of a cluster, and brings their experiments here.

    Args:
        cells: The cells.
        cluster: Where.
        repository: A folder or a URL that every node reaches; None: this folder, or with an address `origin`'s URL.
        retries: Further attempts at a cell that has failed.
        minutes: After which an attempt is given up.

    Raises:
        ModelkilnError: see on_ray.run; or what is here is not what the commit has, or the files of the experiments
            would stay on the nodes.
    """
    commit = shell.commit()
    changed = git("diff", "--name-only", "HEAD", "--", ".", *NOT_SEEN)
    if changed:
        raise ModelkilnError(
            f"the cells are clones of {commit[:12]}, without what is changed here: {', '.join(changed.split()[:3])}; "
            "`git commit` it, or put it away by `git stash`"
        )
    work = _work(repository or _default_repository(cluster), commit, retries, minutes)
    backends = {
        cell.backend: str(compose(overrides=[f"backend={cell.backend}"])["compile"]["backend"]) for cell in cells
    }
    on_ray.run(cells, backends, work, cluster)
    if Path(work.repository) != Path.cwd():
        # Distinct names, so nothing is overwritten; DVC reads their files from its remote or from the shared cache.
        wanted = attempt.reference(commit)
        shell.run("git", "fetch", "--quiet", work.repository, f"{wanted}:{wanted}")
    _say_what_is_left(cells, commit)


def cluster(address: str | None, workers: int | None, cpus: float, places: Sequence[str]) -> on_ray.Cluster:
    """Where Ray runs the cells; `places` as `neuronx=neuron_cores:2`, beside those that are known."""
    found = dict(on_ray.PLACES)
    for text in places:
        backend, _, resource = text.partition("=")
        name, _, amount = resource.partition(":")
        if backend not in plugins.known("backends"):
            raise ModelkilnError(
                f"--place {text}: unknown backend{plugins.suggest(backend, plugins.known('backends'))}"
            )
        if not name or not amount.replace(".", "", 1).isdigit() or float(amount) <= 0:
            raise ModelkilnError(f"--place {text}: expected BACKEND=RESOURCE:N, as neuronx=neuron_cores:2")
        found[backend] = {name: float(amount)}
    return on_ray.Cluster(address, workers, cpus, found)


def _default_repository(cluster: on_ray.Cluster) -> str:
    if cluster.address is None:
        return str(Path.cwd())
    url = git("remote", "get-url", attempt.ORIGIN)
    if url is None:
        raise ModelkilnError("git has no remote `origin`: give --repository, a URL that every node reaches")
    return url


def _work(repository: str, commit: str, retries: int, minutes: float | None) -> on_ray.Work:
    folder = Path(repository)
    cache = shell.dvc("cache", "dir", folder=folder).strip() if (folder / ".dvc").is_dir() else ""
    if cache:  # a project that has run nothing has none, and a machine without it would keep what its cells write
        Path(cache).mkdir(parents=True, exist_ok=True)
    settings = dict(line.split("=", 1) for line in shell.dvc("config", "--project", "--list").splitlines())
    remote = settings.get("core.remote", "")
    if not cache and not remote:
        raise ModelkilnError(
            "what the cells write would stay on the nodes: commit a DVC remote that they reach, "
            "`dvc remote add --default NAME URL`"
        )
    return on_ray.Work(str(folder.resolve()) if cache else repository, commit, cache, remote, minutes, retries)


def _say_what_is_left(cells: Sequence[Cell], commit: str) -> None:
    left = left_to_do(cells, attempt.experiments_at(".", commit))
    say(f"{len(cells) - len(left)} of {len(cells)} cells have an experiment, {len(left)} have failed")
    say("`modelkiln leaderboard` says how they compare, and why cells have failed")
