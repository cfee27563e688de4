"""What each call does to the state, and what it answers. A function's name is the operation's."""

# ruff: noqa: N802
from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

from neptune_server.state import NOT_FOUND, Attribute, Container, Refused, State

CHUNK = 5 << 20  # bytes: files up to this go in one piece
Query = dict[str, list[str]]
KINDS = {"assignString": "string", "assignInt": "int", "assignFloat": "float", "assignBool": "bool"}


def client_config(address: str) -> dict[str, Any]:
    return {
        "apiUrl": address,
        "applicationUrl": address,
        "pyLibVersions": {"minCompatibleVersion": "1.0.0", "maxCompatibleVersion": "1.99.0"},
        "multiPartUpload": {
            "enabled": True,
            "minChunkSize": CHUNK,
            "maxChunkSize": 1 << 30,
            "maxChunkCount": 1000,
            "maxSinglePartSize": CHUNK,
        },
        "artifacts": {"enabled": True, "apiVersion": 2},
    }


def tokens(address: str) -> dict[str, Any]:
    """A token pair; nobody checks the signature."""

    def part(data: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    claims = {"exp": int(time.time()) + 86400, "azp": "neptune-cli", "iss": f"{address}/auth/realms/neptune"}
    access = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.c2ln"
    return {"accessToken": access, "refreshToken": access, "username": "user"}


def refreshed(address: str) -> dict[str, Any]:
    made = tokens(address)
    return {
        "access_token": made["accessToken"],
        "refresh_token": made["refreshToken"],
        "token_type": "bearer",
        "expires_in": 86400,
    }


def getProject(state: State, query: Query, body: Any) -> Any:
    return _project(state.project(query["projectIdentifier"][0]))


def listProjects(state: State, query: Query, body: Any) -> Any:
    return {"entries": [_project(each) for each in state.projects()]}


def listOrganizations(state: State, query: Query, body: Any) -> Any:
    return [{"id": each.id, "name": each.project.split("/")[0]} for each in state.projects()]


def getExperiment(state: State, query: Query, body: Any) -> Any:
    return _experiment(_container(state, query))


def createExperiment(state: State, query: Query, body: Any) -> Any:
    return _experiment(state.create(body["parentId"], body["type"], body.get("key")))


def getExperimentAttributes(state: State, query: Query, body: Any) -> Any:
    found = _container(state, query)
    return {"attributes": [_attribute(name, each) for name, each in found.attributes.items()]}


def executeOperations(state: State, query: Query, body: Any) -> Any:
    container = _container(state, query)
    errors = []
    for operation in body:
        path = operation.pop("path")
        ((name, argument),) = operation.items()
        try:
            if name == "deleteAttribute":
                container.attributes.pop(path, None)
            elif name == "assignArtifact":
                state.assign(container, path, "artifact", {"hash": argument["hash"]})
            else:
                state.assign(container, path, KINDS[name], {"value": argument["value"]})
        except ValueError as error:
            errors.append({"errorType": "INCONSISTENCY", "errorDescription": str(error)})
    return errors


def getStringAttribute(state: State, query: Query, body: Any) -> Any:
    return _of_attribute(state, query, "string").properties


def getFileAttribute(state: State, query: Query, body: Any) -> Any:
    return _of_attribute(state, query, "file").properties


def getArtifactAttribute(state: State, query: Query, body: Any) -> Any:
    return _of_attribute(state, query, "artifact").properties


def ping(state: State, query: Query, body: Any) -> Any:
    return {}


def fileAtomMultipartUploadStart(state: State, query: Query, body: Any) -> Any:
    path = state.new_file()
    path.touch()
    upload = path.stem
    state.uploads[upload] = (
        query["experimentIdentifier"][0],
        query["attribute"][0],
        query.get("ext", [""])[0],
        int(query["totalLength"][0]),
        path,
    )
    return {"errors": [], "uploadId": upload}


def fileAtomMultipartUploadFinish(state: State, query: Query, body: Any) -> Any:
    container, attribute, ext, length, path = state.uploads[query["uploadId"][0]]
    if path.stat().st_size != length:
        raise Refused(400, {"title": "not all parts are there"})
    state.store(container, attribute, ext, path)
    return {"errors": []}


def searchLeaderboardEntries(state: State, query: Query, body: Any) -> Any:
    project = state.project(query["projectIdentifier"][0])
    conditions = re.findall(r'\(`([^`]+)`:\w+ ([=>]) "?([^")]*)"?\)', body["query"]["query"])
    wanted = {each["path"] for each in body.get("attributeFilters", [])}
    found = [
        each
        for each in state.containers.values()
        if each.project == project.project
        and each.type in query["type"]
        and all(_holds(each, *condition) for condition in conditions)
    ]
    found.sort(key=lambda each: each.sys_id, reverse=body["sorting"]["dir"] == "descending")
    page = body["pagination"]
    entries = [
        {
            "experimentId": each.id,
            "attributes": [
                _attribute(name, attribute)
                for name, attribute in each.attributes.items()
                if not wanted or name in wanted
            ],
        }
        for each in found[page["offset"] : page["offset"] + page["limit"]]
    ]
    return {"matchingItemCount": len(found), "entries": entries}


def searchLeaderboardAttributes(state: State, query: Query, body: Any) -> Any:
    project = state.project(query["projectIdentifier"][0])
    name = query["search"][0]
    kinds = {
        each.attributes[name].type
        for each in state.containers.values()
        if each.project == project.project and each.type in query["type"] and name in each.attributes
    }
    return {"entries": [{"name": name, "type": kind} for kind in sorted(kinds)]}


def createNewArtifact(state: State, query: Query, body: Any) -> Any:
    digest = query["hash"][0]
    return {"artifactHash": digest, "receivedMetadata": digest in state.artifacts, "size": int(query["size"][0])}


def uploadArtifactFilesMetadata(state: State, query: Query, body: Any) -> Any:
    digest = query["hash"][0]
    state.artifacts[digest] = body["files"]
    return {"artifactHash": digest, "receivedMetadata": True, "size": 0}


def createArtifactVersion(state: State, query: Query, body: Any) -> Any:
    merged = {each["filePath"]: each for each in state.artifacts[query["hash"][0]]}
    merged.update({each["filePath"]: each for each in body["files"]})
    digest = f"{abs(hash(json.dumps(merged, sort_keys=True))):064x}"
    state.artifacts[digest] = list(merged.values())
    return {"artifactHash": digest, "receivedMetadata": True, "size": 0}


def listArtifactFiles(state: State, query: Query, body: Any) -> Any:
    digest = query["hash"][0]
    if digest not in state.artifacts:
        raise Refused(404, NOT_FOUND)
    return {"files": state.artifacts[digest]}


def _container(state: State, query: Query) -> Container:
    return state.find(query["experimentId"][0])


def _of_attribute(state: State, query: Query, kind: str) -> Attribute:
    found = _container(state, query).attributes.get(query["attribute"][0])
    if found is None or found.type != kind:
        raise Refused(404, {"title": "no such attribute"})
    return found


def _project(each: Container) -> dict[str, Any]:
    workspace, name = each.project.split("/")
    return {"id": each.id, "name": name, "organizationName": workspace, "projectKey": each.sys_id, "version": 2}


def _experiment(each: Container) -> dict[str, Any]:
    workspace, name = each.project.split("/")
    return {
        "id": each.id,
        "shortId": each.sys_id,
        "type": each.type,
        "organizationName": workspace,
        "projectName": name,
        "trashed": each.trashed,
    }


def _attribute(name: str, each: Attribute) -> dict[str, Any]:
    return {"name": name, "type": each.type, f"{each.type}Properties": each.properties}


def _holds(each: Container, name: str, operator: str, value: str) -> bool:
    if name == "sys/trashed":
        return each.trashed == (value == "true")
    found = each.attributes.get(name)
    actual = str(found.properties.get("value")) if found else ""
    return actual == value if operator == "=" else actual > value
