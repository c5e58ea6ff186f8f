"""Requests against the clients' real messages: what does not fit is a 400 that names it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import PROJECT, Cloud
from google.cloud import run_v2

from gemmactl.sandbox import routes
from gemmactl.sandbox.wire import Request

SERVICES = f"/v2/{PROJECT}/locations/us-central1/services"


def seen(cloud: Cloud, key: str) -> list[Any]:
    """Have a behaviour that keeps what it was asked."""
    requests: list[Any] = []

    def keep(world, caller, request):
        requests.append(request)
        return world.operations.done(f"{PROJECT}/locations/l", None, request.service)

    cloud.enable("run")
    cloud.world.behaviours[key] = keep
    return requests


def test_every_route_of_the_official_clients_is_there() -> None:
    """The clients bring their own routes; the ones that the product uses are among them."""
    keys = {route.key for verb in ("GET", "POST", "PATCH", "DELETE") for route in routes._by_verb()[verb]}
    assert {
        "run_v2.Services.CreateService",
        "run_v2.Services.UpdateService",
        "run_v2.Revisions.GetRevision",
        "run_v2.Jobs.RunJob",
        "cloudbuild_v1.CloudBuild.CreateBuild",
        "artifactregistry_v1.ArtifactRegistry.GetTag",
        "secretmanager_v1.SecretManagerService.AccessSecretVersion",
        "service_usage_v1.ServiceUsage.BatchEnableServices",
        "resourcemanager_v3.Projects.SetIamPolicy",
    } <= keys


@pytest.mark.parametrize(
    ("verb", "path", "key"),
    [
        ("GET", f"/v1/{PROJECT}/secrets/s/versions/latest:access", "secretmanager_v1.SecretManagerService.AccessSecretVersion"),
        ("GET", f"/v1/{PROJECT}/secrets/s", "secretmanager_v1.SecretManagerService.GetSecret"),
        ("GET", f"/v1/{PROJECT}/locations/l/builds/b", "cloudbuild_v1.CloudBuild.GetBuild"),
        ("GET", f"/v1/{PROJECT}/services/run.googleapis.com", "service_usage_v1.ServiceUsage.GetService"),
        (
            "GET",
            "/v1/projects/p/locations/l/repositories/r/dockerImages/n@sha256:0a",
            "artifactregistry_v1.ArtifactRegistry.GetDockerImage",
        ),
        ("POST", "/v3/projects/p:testIamPermissions", "resourcemanager_v3.Projects.TestIamPermissions"),
        ("PATCH", f"{SERVICES}/s", "run_v2.Services.UpdateService"),
    ],
)
def test_a_path_finds_the_method_it_belongs_to(verb: str, path: str, key: str) -> None:
    """Custom verbs win over plain names, and no two APIs are confused."""
    found = routes.find(Request(verb, "", path))
    assert found is not None
    assert found[0].key == key


def test_an_update_arrives_as_the_client_meant_it(cloud: Cloud) -> None:
    """Mask, flags, name, nested message, enum: all are in the real message."""
    asked = seen(cloud, "run_v2.Services.UpdateService")
    service = run_v2.Service(name=f"{PROJECT}/locations/l/services/s", ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL)
    service.template.timeout = {"seconds": 1800}
    mask = {"paths": ["template", "invoker_iam_disabled"]}
    cloud.client(run_v2.ServicesClient).update_service(
        request={"service": service, "update_mask": mask, "allow_missing": True, "validate_only": True}
    )
    request = asked[0]
    assert list(request.update_mask.paths) == ["template", "invoker_iam_disabled"]
    assert (request.allow_missing, request.validate_only, request.service.template.timeout.seconds) == (True, True, 1800)
    assert request.service.name == f"{PROJECT}/locations/l/services/s"
    assert request.service.ingress == 1


@pytest.mark.parametrize(
    ("body", "where", "what"),
    [
        ({"template": {"gpuType": "l4"}}, "service.template", 'Unknown name "gpuType"'),
        ({"gpu": 1}, "service", 'Unknown name "gpu"'),
        ({"ingress": "EVERYTHING"}, "service.ingress", "EVERYTHING"),
        ({"template": {"maxInstanceRequestConcurrency": "many"}}, "service.template", "maxInstanceRequestConcurrency"),
        ({"template": {"timeout": 300}}, "service.template", "timeout"),
        ({"labels": "x"}, "service", "labels"),
    ],
)
def test_a_field_that_does_not_fit_is_a_400_that_names_it(cloud: Cloud, body: dict, where: str, what: str) -> None:
    """Unknown field, wrong type, wrong enum: INVALID_ARGUMENT with a field violation."""
    seen(cloud, "run_v2.Services.CreateService")
    answer = cloud.session().post(f"{cloud.world.base_url}{SERVICES}?serviceId=s", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
    assert what in error["message"]
    assert error["details"][0]["fieldViolations"][0]["field"].startswith(where)


@pytest.mark.parametrize("query", ["service_idd=s", "validateOnly=perhaps", "validate_only.x=1"])
def test_a_query_parameter_that_does_not_fit_is_a_400(cloud: Cloud, query: str) -> None:
    """The same for what stands in the URL."""
    seen(cloud, "run_v2.Services.CreateService")
    answer = cloud.session().post(f"{cloud.world.base_url}{SERVICES}?{query}", json={})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_text_that_is_no_json_is_a_400(cloud: Cloud) -> None:
    """Half a document does not reach a behaviour."""
    asked = seen(cloud, "run_v2.Services.CreateService")
    answer = cloud.session().post(f"{cloud.world.base_url}{SERVICES}?serviceId=s", data=b'{"template": ')
    assert (answer.status_code, asked) == (400, [])


def test_answers_have_enum_names_unless_the_client_asks_for_numbers(cloud: Cloud) -> None:
    """As Google's do: `enum-encoding=int` is what the official clients ask for."""
    session = cloud.session()
    url = f"{cloud.world.base_url}/v3/{PROJECT}"
    assert session.get(url).json()["state"] == "ACTIVE"
    assert session.get(url, params={"$alt": "json;enum-encoding=int"}).json()["state"] == 1
