"""Every environment variable that modelkiln reads or sets, and what it means.

Read by modelkiln:
    MODELKILN_CACHE       folder for model versions fetched from a registry (default: ~/.cache/modelkiln)
    MLFLOW_TRACKING_URI   the MLflow server: for `load`, and for upload where params.yaml names none
    NEPTUNE_API_TOKEN     the key to a Neptune server, which also holds its address
    NEPTUNE_PROJECT       WORKSPACE/PROJECT on it: for `load`, and for upload where params.yaml names none
    MODELKILN_SIGNING_KEY, MODELKILN_SIGNING_PASSWORD
                          file of the private key that `sign`, upload and validate sign with, and its password
    MODELKILN_VERDICT_KEY file of a public key: a verdict that its owner has not signed is not registered or promoted
    MODELKILN_LOAD_KEY    file of a public key: an artifact that its owner has not signed is not loaded
    HF_ENDPOINT           another Hugging Face hub than the public one
    HF_HUB_OFFLINE        1: the `hub` source refuses to run
    CXX                   the C++ compiler of backend `aotinductor` (default: g++)
    NEURON_RT_VISIBLE_CORES, NEURON_RT_NUM_CORES
                          the cores of AWS Neuron devices that a process uses: `0-3`, or how many (default: all)
    NEURON_SIM_DEVICE     the device that the simulator of AWS Neuron pretends to have, as `inf2` (default: none)

Set for the libraries that we call, unless the user has: TRANSFORMERS_VERBOSITY, HF_HUB_DISABLE_TELEMETRY,
HF_HUB_DISABLE_PROGRESS_BARS, MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR, MLFLOW_DISABLE_TELEMETRY, ORT_DISABLE_TELEMETRY,
MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR; for our
child processes HF_HUB_OFFLINE and PYTHONDONTWRITEBYTECODE; while something is written to Neptune,
NEPTUNE_DATA_DIRECTORY, since its client would leave a folder `.neptune` in the project; while backend `aotinductor`
compiles, TORCHINDUCTOR_CACHE_DIR; while a sweep runs, MLFLOW_TRACKING_URI, where there is an embedded registry, and
RAY_USAGE_STATS_ENABLED (0) before Ray is imported; while `modelkiln prove-gate` judges a good artifact,
OMP_NUM_THREADS and MKL_NUM_THREADS. The checks run without the user's PYTEST_*, which could leave some out, and with
PYTEST_DISABLE_PLUGIN_AUTOLOAD.

Read by the libraries that we call, and by nobody here: HF_TOKEN, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD,
MLFLOW_TRACKING_TOKEN, AWS_*; by Neptune's client NEPTUNE_RETRIES_TIMEOUT (seconds for which a failing server is tried
again; 60), NEPTUNE_REQUEST_TIMEOUT, NEPTUNE_ALLOW_SELF_SIGNED_CERTIFICATE, OAUTHLIB_INSECURE_TRANSPORT (1: plain http
will do) and S3_ENDPOINT_URL (AWS_ENDPOINT_URL does for it too). Secrets come in this way only; they are never written
into params, manifests or receipts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelkiln.errors import ModelkilnError

TRUE = {"1", "on", "true", "yes"}
SIGNING_KEY = "MODELKILN_SIGNING_KEY"
VERDICT_KEY = "MODELKILN_VERDICT_KEY"
LOAD_KEY = "MODELKILN_LOAD_KEY"
SIGNING_PASSWORD = "MODELKILN_SIGNING_PASSWORD"  # noqa: S105 (its name)


def cache_folder() -> Path:
    """Where fetched model versions are kept between processes."""
    try:
        return Path(os.environ.get("MODELKILN_CACHE") or "~/.cache/modelkiln").expanduser()
    except RuntimeError as error:  # a user without an entry in passwd, as containers have
        raise ModelkilnError(
            "there is no home folder for the cache; name a folder for it in MODELKILN_CACHE"
        ) from error


def signing_key() -> Path | None:
    """The private key to sign artifacts and verdicts with, or None."""
    return _file_named_by(SIGNING_KEY)


def verdict_key() -> Path | None:
    """The public key by which verdicts have to be signed, or None."""
    return _file_named_by(VERDICT_KEY)


def load_key() -> Path | None:
    """The public key by which artifacts have to be signed to be loaded, or None."""
    return _file_named_by(LOAD_KEY)


def signing_password() -> bytes | None:
    """What that key is encrypted with, or None."""
    password = os.environ.get(SIGNING_PASSWORD)
    return password.encode() if password else None


def _file_named_by(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named).expanduser() if named else None


def mlflow_tracking_uri() -> str | None:
    """The MLflow server that the environment names, or None."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def bound_mlflow_retries() -> None:
    """A server that fails is asked again for half a minute, and not for MLflow's four; the user's own limits stand."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")


def mlflow_credentials() -> list[tuple[str, str]]:
    """The user and the secret of each way to log in that the environment has; only to keep them out of messages."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    names = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    return [(user, secret) for name in names if (secret := os.environ.get(name))]


def neptune_api_token() -> str:
    """The key to Neptune, or nothing."""
    return os.environ.get("NEPTUNE_API_TOKEN", "").strip()


def neptune_project() -> str | None:
    """The Neptune project that the environment names, or None."""
    return os.environ.get("NEPTUNE_PROJECT") or None


def hub_endpoint() -> str:
    """The Hugging Face hub to download from."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_is_offline() -> bool:
    """Whether the user forbids every access to the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in TRUE


def keep_libraries_quiet() -> None:
    """Stops transformers, MLflow, ONNX Runtime and OpenVINO from calling home or warning about what they can't know.

    Has to run before those libraries are imported, since they read the environment then.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # ONNX Runtime 1.32 looks up a host of its makers, and writes a device's id below the home folder.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # It would print the server's address on stdout, with the password in it.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    # `import openvino` reports itself to Google Analytics, without asking and with no variable against it. It does
    # without this package where there is none, and None stands for that.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def neuron_cores() -> int | None:
    """How many cores of AWS Neuron devices the user gives a process, or None.

    Raises:
        ValueError: what is set means nothing.
    """
    listed = os.environ.get("NEURON_RT_VISIBLE_CORES", "").strip()
    if not listed:
        number = os.environ.get("NEURON_RT_NUM_CORES", "").strip()
        return int(number) if number else None
    count = 0
    for part in listed.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def simulated_neuron_device() -> str | None:
    """The device that the simulator of AWS Neuron pretends to have, or None."""
    return os.environ.get("NEURON_SIM_DEVICE") or None


def cxx() -> str:
    """The name or path of the C++ compiler."""
    return os.environ.get("CXX") or "g++"


@contextmanager
def inductor_cache(folder: Path) -> Iterator[None]:
    """torch's inductor keeps what it generates in this folder, and not in one that outlives the process."""
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        if before is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


@contextmanager
def neptune_data_folder() -> Iterator[None]:
    """Neptune's client keeps what it is about to send in a folder that goes with the block, or where the user says."""
    name = "NEPTUNE_DATA_DIRECTORY"
    if name in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            del os.environ[name]


@contextmanager
def embedded_registry() -> Iterator[None]:
    """Child processes find this folder's embedded registry from any folder, unless there is a server."""
    database = Path("registry/mlflow.db").resolve()
    if mlflow_tracking_uri() or not database.exists():
        yield
        return
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    try:
        yield
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]


def keep_ray_quiet() -> None:
    """Stops Ray from calling home; before it is imported. Of a cluster that runs already the head decides."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@contextmanager
def thread_count(number: int) -> Iterator[None]:
    """Our child processes' libraries run on so many threads, where nothing else is asked of them."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, str(number)))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ.update(before)


def offline_environment() -> dict[str, str]:
    """The environment for a child process that may not reach for the hub."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}
