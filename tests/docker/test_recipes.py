"""The recipes for clusters, against the schemas of those who read them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.docker.dockerfile import ROOT, parse, pins

DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
KUBERNETES = "1.33"
LAUNCHED = ("ray-up-aws.yaml", "ray-up-gcp.yaml")
RECIPES = ("compose.yaml", *LAUNCHED, "kuberay-cluster.yaml", "kuberay-job.yaml", "slurm.sh")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_its_section_of_the_docs(name: str) -> None:
    (anchor,) = set(re.findall(r"docs/cluster\.md#([\w-]+)", (DOCKER / name).read_text("utf-8")))
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    sections = {
        title.lower().replace(" ", "-"): body
        for title, _, body in (each.partition("\n") for each in text.split("\n## "))
    }
    assert f"(../docker/{name})" in sections[anchor]
    # How it starts, what it costs to keep, how it ends.
    assert re.findall(r"^\*\*(\w+)\.\*\*", sections[anchor], re.MULTILINE) == [
        "Start",
        "Costs",
        "End",
    ]


def test_docker_compose_takes_the_compose_file() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, DOCKER / "compose.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_port_of_a_container_is_open_to_others() -> None:
    (compose,) = documents("compose.yaml")
    ports = [port for each in compose["services"].values() for port in each.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for service in compose["services"].values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        path = Path(service["environment"]["RAY_AUTH_TOKEN_PATH"])
        assert path.name in service["secrets"]
        assert path.name in compose["secrets"]


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_the_file_of_a_launched_cluster(name: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    (config,) = documents(name)
    # What Ray does before it asks the cloud: its defaults under what the file says, and its schema.
    whole = prepare_config(config)
    validate_config(whole)
    assert whole["head_node_type"] in whole["available_node_types"]
    # Of Ray's defaults nothing may come through that opens the dashboard or installs another Ray.
    said = str([whole[key] for key in whole if key.endswith("_commands")])
    assert "0.0.0.0" not in said
    assert "--dashboard-host=127.0.0.1" in said
    assert "ray-wheels" not in said
    assert "RAY_AUTH_MODE=token" in said
    workers = whole["available_node_types"]["worker"]
    assert workers["min_workers"] == workers["max_workers"] == whole["max_workers"]


def test_a_misspelt_key_of_a_launched_cluster_is_found() -> None:
    (config,) = documents(LAUNCHED[0])
    config["setup_comands"] = config.pop("setup_commands")
    with pytest.raises(jsonschema.ValidationError, match="setup_comands"):
        validate_config(prepare_config(config))


def test_launched_clusters_install_the_same_everywhere() -> None:
    aws, gcp = (documents(name)[0] for name in LAUNCHED)
    for key in ("setup_commands", "file_mounts", "worker_start_ray_commands"):
        assert aws[key] == gcp[key]
    assert aws["head_start_ray_commands"] == gcp["head_start_ray_commands"]
    (line,) = aws["head_setup_commands"]
    assert line.endswith(f" boto3=={pins('docker/requirements-gpu.lock')['botocore']}")


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = spec.get("rayClusterSpec", spec)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"] for group in groups]


# Of KubeRay's RayCluster and RayJob (ray.io/v1) what our manifests use, with its types; a test
# below holds them against the whole. A pod's template is Kubernetes' own.
GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rayStartParams", "template"],
    "properties": {
        "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {"type": "object"},
    },
}
WORKERS = {
    **GROUP,
    "required": ["groupName", "minReplicas", "maxReplicas", "template"],
    "properties": {
        **GROUP["properties"],
        "groupName": {"type": "string"},
        **{name: {"type": "integer"} for name in ("replicas", "minReplicas", "maxReplicas")},
    },
}
CLUSTER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"],
    "properties": {
        "rayVersion": {"type": "string"},
        "authOptions": {"const": {"mode": "token"}},
        "headGroupSpec": GROUP,
        "workerGroupSpecs": {"type": "array", "items": WORKERS},
    },
}
JOB = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entrypoint", "rayClusterSpec"],
    "properties": {
        "entrypoint": {"type": "string"},
        "backoffLimit": {"type": "integer"},
        "activeDeadlineSeconds": {"type": "integer", "exclusiveMinimum": 0},
        "shutdownAfterJobFinishes": {"const": True},
        "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0},
        "rayClusterSpec": CLUSTER,
    },
}
KUBERAY = {"RayCluster": CLUSTER, "RayJob": JOB}


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml"])
def test_kubernetes_and_kuberay_take_the_manifests(name: str) -> None:
    for each in documents(name):
        if each["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
            continue
        jsonschema.validate(each["spec"], KUBERAY[each["kind"]])
        own = pods(each["spec"])
        assert len(own) > 1
        for pod in own:
            whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **pod}
            kubernetes_validate.validate(whole, KUBERNETES, strict=True)
        cluster = each["spec"].get("rayClusterSpec", each["spec"])
        assert cluster["rayVersion"] == pins("docker/requirements-cpu.lock")["ray"]


def test_the_pods_of_both_manifests_are_the_same() -> None:
    (cluster,) = [d for d in documents("kuberay-cluster.yaml") if d["kind"] == "RayCluster"]
    (job,) = [d for d in documents("kuberay-job.yaml") if d["kind"] == "RayJob"]
    assert cluster["spec"] == job["spec"]["rayClusterSpec"]
    # The submitter hands it to a shell, where these would mean something else.
    assert not set(job["spec"]["entrypoint"]) & set(";&|<>()$`\\\"'*?\n")


CRDS = os.environ.get("KUBERAY_CRDS")


@pytest.mark.skipif(not CRDS, reason="KUBERAY_CRDS does not name a folder with KubeRay's CRDs")
@pytest.mark.parametrize("plural", ["rayclusters", "rayjobs"])
def test_kuberays_whole_schema_takes_the_manifests(plural: str) -> None:
    definition = yaml.load(
        (Path(str(CRDS)) / f"ray.io_{plural}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
    )
    (version,) = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {}
    kind = definition["spec"]["names"]["kind"]
    found = [
        each
        for name in ("kuberay-cluster.yaml", "kuberay-job.yaml")
        for each in documents(name)
        if each["kind"] == kind
    ]
    assert len(found) == 1
    jsonschema.validate(found[0], schema)
    found[0]["spec"]["rayVersions"] = "2.60.0"
    with pytest.raises(jsonschema.ValidationError, match="rayVersions"):
        jsonschema.validate(found[0], schema)


def closed(schema: Any) -> Any:
    """A schema of Kubernetes that refuses what it does not name, as kubectl does."""
    if isinstance(schema, dict):
        if schema.pop("x-kubernetes-int-or-string", False):
            schema.pop("type", None)
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        return {key: closed(value) for key, value in schema.items()}
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


def test_the_recipes_and_the_images_have_one_python() -> None:
    bases = {
        step.rest.split()[0]
        for name in ("Dockerfile", "Dockerfile.gpu")
        for step in parse(DOCKER / name)
        if step.word == "FROM"
    }
    assert bases == {"python:3.12-slim"}
    for name in LAUNCHED:
        assert "python3.12 -m venv" in (DOCKER / name).read_text(encoding="utf-8")
