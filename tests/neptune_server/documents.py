"""Which calls the server knows, and the Swagger documents from which Neptune's client learns of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BACKEND = "/api/backend/v1"
LEADERBOARD = "/api/leaderboard/v1"
ATTRIBUTES = f"{LEADERBOARD}/attributes"
UPLOAD = f"{ATTRIBUTES}/storage/file/upload"
ARTIFACTS = "/api/artifacts/v1"


@dataclass(frozen=True)
class Call:
    """One operation: `query`, `headers` and `body` are the names of its parameters, `answer` a model below."""

    name: str
    method: str
    path: str
    query: tuple[str, ...] = ()
    answer: str = "Anything"
    body: str | None = None
    headers: tuple[str, ...] = ()
    lists: tuple[str, ...] = field(default=())  # which of `query` may be given several times


OF_ATTRIBUTE = ("experimentId", "attribute")
OF_UPLOAD = ("experimentIdentifier", "attribute", "ext")
ARTIFACT = ("projectIdentifier", "hash")
TOKEN = ("X-Neptune-Api-Token",)

CALLS = {
    "backend": [
        Call("getClientConfig", "GET", f"{BACKEND}/clients/config", ("alpha",), "ClientConfig", headers=TOKEN),
        Call("exchangeApiToken", "GET", f"{BACKEND}/authorization/oauth-token", (), "Tokens", headers=TOKEN),
        Call("getProject", "GET", f"{BACKEND}/projects/get", ("projectIdentifier",), "Project"),
        Call(
            "listProjects",
            "GET",
            f"{BACKEND}/projects",
            ("limit", "organizationIdentifier", "searchTerm", "sortBy", "sortDirection", "userRelation"),
            "Projects",
            lists=("sortBy", "sortDirection"),
        ),
        Call("listOrganizations", "GET", f"{BACKEND}/myOrganizations", (), "[Organization]"),
    ],
    "leaderboard": [
        Call("getExperiment", "GET", f"{LEADERBOARD}/experiments", ("experimentId",), "Experiment"),
        Call(
            "createExperiment",
            "POST",
            f"{LEADERBOARD}/experiments",
            (),
            "Experiment",
            "experimentCreationParams",
            headers=("X-Neptune-CliVersion",),
        ),
        Call("getExperimentAttributes", "GET", ATTRIBUTES, ("experimentId",), "Attributes"),
        Call("executeOperations", "POST", f"{ATTRIBUTES}/operations", ("experimentId",), "[Error]", "operations"),
        Call("getStringAttribute", "GET", f"{ATTRIBUTES}/strings", OF_ATTRIBUTE, "Value"),
        Call("getFileAttribute", "GET", f"{ATTRIBUTES}/files", OF_ATTRIBUTE, "File"),
        Call("getArtifactAttribute", "GET", f"{ATTRIBUTES}/artifacts", OF_ATTRIBUTE, "Artifact"),
        Call("ping", "POST", f"{ATTRIBUTES}/ping", ("experimentId",)),
        Call("fileAtomUpload", "POST", UPLOAD, OF_UPLOAD, "Uploaded"),
        Call("fileAtomMultipartUploadStart", "POST", f"{UPLOAD}/start", (*OF_UPLOAD, "totalLength"), "Started"),
        Call(
            "fileAtomMultipartUploadPart",
            "POST",
            f"{UPLOAD}/part",
            ("experimentIdentifier", "attribute", "uploadId", "uploadPartIdx"),
            "Uploaded",
        ),
        Call(
            "fileAtomMultipartUploadFinish",
            "POST",
            f"{UPLOAD}/finish",
            ("experimentIdentifier", "attribute", "uploadId"),
            "Uploaded",
        ),
        Call("downloadAttribute", "GET", f"{ATTRIBUTES}/download", OF_ATTRIBUTE),
        Call(
            "searchLeaderboardEntries",
            "POST",
            f"{LEADERBOARD}/leaderboard/entries/search",
            ("projectIdentifier", "type"),
            body="params",
            lists=("type",),
        ),
        Call(
            "searchLeaderboardAttributes",
            "POST",
            f"{LEADERBOARD}/leaderboard/attributes/search",
            ("projectIdentifier", "search", "type"),
            "Columns",
            "params",
            lists=("type",),
        ),
    ],
    "artifacts": [
        Call("createNewArtifact", "POST", ARTIFACTS, (*ARTIFACT, "size", "parentIdentifier"), "ArtifactMade"),
        Call("uploadArtifactFilesMetadata", "PUT", f"{ARTIFACTS}/files", ARTIFACT, "ArtifactMade", "artifactFilesDTO"),
        Call(
            "createArtifactVersion",
            "POST",
            f"{ARTIFACTS}/version",
            (*ARTIFACT, "parentIdentifier"),
            "ArtifactMade",
            "artifactFilesDTO",
        ),
        Call("listArtifactFiles", "GET", f"{ARTIFACTS}/files", ARTIFACT, "ArtifactFiles"),
    ],
}
ROUTES = {(call.method, call.path): call.name for calls in CALLS.values() for call in calls}

# {model: {property: another model, a basic type, or [either]}}
MODELS: dict[str, dict[str, str]] = {
    "ClientConfig": {
        "apiUrl": "string",
        "applicationUrl": "string",
        "pyLibVersions": "LibVersions",
        "multiPartUpload": "MultiPart",
        "artifacts": "ArtifactsConfig",
    },
    "LibVersions": dict.fromkeys(("minRecommendedVersion", "minCompatibleVersion", "maxCompatibleVersion"), "string"),
    "MultiPart": {
        "enabled": "boolean",
        **dict.fromkeys(("minChunkSize", "maxChunkSize", "maxChunkCount", "maxSinglePartSize"), "integer"),
    },
    "ArtifactsConfig": {"enabled": "boolean", "apiVersion": "integer"},
    "Tokens": dict.fromkeys(("accessToken", "refreshToken", "username"), "string"),
    "Organization": {"id": "string", "name": "string"},
    "Project": {
        **dict.fromkeys(("id", "name", "organizationName", "projectKey"), "string"),
        "version": "integer",
    },
    "Projects": {"entries": "[Project]"},
    "Experiment": {
        **dict.fromkeys(("id", "shortId", "type", "organizationName", "projectName"), "string"),
        "trashed": "boolean",
    },
    "Attributes": {"attributes": "[Attribute]"},
    "Attribute": {
        "name": "string",
        "type": "string",
        **{f"{kind}Properties": "Value" for kind in ("string", "bool", "int", "float", "datetime")},
        "fileProperties": "File",
        "artifactProperties": "Artifact",
    },
    "Value": {"value": "any"},
    "File": {"name": "string", "ext": "string", "size": "integer"},
    "Artifact": {"hash": "string"},
    "Error": {"errorType": "string", "errorDescription": "string"},
    "Uploaded": {"errors": "[Error]"},
    "Started": {"errors": "[Error]", "uploadId": "string"},
    "Columns": {"entries": "[Column]"},
    "Column": {"name": "string", "type": "string"},
    "ArtifactMade": {"artifactHash": "string", "receivedMetadata": "boolean", "size": "integer"},
    "ArtifactFiles": {"files": "[ArtifactFile]"},
    "ArtifactFile": {
        **dict.fromkeys(("filePath", "fileHash", "type"), "string"),
        "size": "integer",
        "metadata": "[Pair]",
    },
    "Pair": {"key": "string", "value": "string"},
    "Anything": {},
}


def document(service: str) -> dict[str, Any]:
    """The Swagger document of a service: backend, leaderboard or artifacts."""
    paths: dict[str, Any] = {}
    for call in CALLS[service]:
        paths.setdefault(call.path, {})[call.method.lower()] = {
            "operationId": call.name,
            "parameters": _parameters(call),
            "responses": {
                "200": {"description": "", "schema": _schema(call.answer)},
                **{str(code): {"description": ""} for code in (400, 401, 403, 404, 409, 422)},
            },
        }
    definitions = {
        name: {"type": "object", "properties": {key: _schema(kind) for key, kind in properties.items()}}
        for name, properties in MODELS.items()
    }
    return {"swagger": "2.0", "info": {"title": service, "version": "1"}, "paths": paths, "definitions": definitions}


def _parameters(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in call.query:
        kind = {"type": "string"}
        several = {"type": "array", "items": kind, "collectionFormat": "multi"}
        found.append({"name": name, "in": "query", **(several if name in call.lists else kind)})
    found += [{"name": name, "in": "header", "type": "string"} for name in call.headers]
    if call.body:
        found.append({"name": call.body, "in": "body", "schema": {}})
    return found


def _schema(kind: str) -> dict[str, Any]:
    if kind.startswith("["):
        return {"type": "array", "items": _schema(kind[1:-1])}
    if kind in MODELS:
        return {"$ref": f"#/definitions/{kind}"}
    return {} if kind == "any" else {"type": kind}
