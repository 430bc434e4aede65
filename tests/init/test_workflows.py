"""What metadata-action's and build-push-action's inputs are in releasetag's words."""

import pytest

from releasetag.init.workflows import Image
from tests.init.conftest import Project, job


def translated(project: Project, meta: str = "", build: str = "") -> Image:
    (image,) = project.workflow(job(meta, build)).translate().images
    return image


def tags(*lines: str, flavor: str = "latest=false") -> str:
    shown = "\n".join(f"  {line}" for line in lines)
    return f"images: acme/shop\ntags: |\n{shown}\nflavor: |\n  {flavor}"


@pytest.mark.parametrize(
    ("line", "template"),
    [
        ("type=semver,pattern={{version}}", "{version}"),
        ("type=semver,pattern=v{{version}},priority=900", "v{version}"),
        ("type=semver,pattern={{major}}.{{minor}}", "{major}.{minor}"),
        ("type=semver,pattern={{ major }}", "{major}"),
        ("type=semver,pattern={{raw}}", "{git_tag}"),
        ('type=semver,"pattern={{version}}",suffix=-slim', "{version}-slim"),
        ("type=semver,pattern={{version}},prefix=app-", "app-{version}"),
        ("type=pep440,pattern={{version}}", "{version}"),
        ("type=ref,event=tag", "{git_tag}"),
        ("type=match,pattern=v(.*),group=1", "{version}"),
        ("type=raw,value=stable", "stable"),
        ("type=raw,value=latest,enable=${{ github.ref == 'refs/heads/main' }}", "latest"),
        ("type=raw,value=latest,enable={{is_default_branch}}", "latest"),
        ("stable", "stable"),
        ("type=sha", "sha-{short_sha}"),
        ("type=sha,prefix=,format=long", "{sha}"),
        ("type=raw,value={{sha}}", "{short_sha}"),
    ],
)
def test_a_tag_of_metadata_action_is_a_template(line: str, template: str, project: Project) -> None:
    image = translated(project, tags(line))

    assert [f"{tag}{image.suffix}" for tag in image.tags] == [template]


@pytest.mark.parametrize(
    "line",
    [
        "type=schedule",
        "type=ref,event=branch",
        "type=ref,event=pr",
        "type=edge,branch=develop",
        "type=raw,value=main,enable={{is_default_branch}}",
    ],
)
def test_what_is_no_release_is_a_snapshot(line: str, project: Project) -> None:
    image = translated(project, tags(line))

    assert (image.tags, image.is_snapshot) == ([], True)


@pytest.mark.parametrize(
    "line",
    [
        "type=semver,pattern={{date 'YYYY'}}",
        "type=raw,value=${{ vars.NAME }}",
        "type=semver,pattern={{version}},suffix=${{ matrix.suffix }}",
        "type=unheard-of",
    ],
)
def test_a_tag_that_cannot_be_translated_is_a_remark(line: str, project: Project) -> None:
    image = translated(project, tags(line))

    assert image.tags == []
    assert f"not taken: {line}" in image.remarks


def test_a_tag_that_is_switched_off_is_left_out(project: Project) -> None:
    image = translated(project, tags("type=sha,enable=false", "type=raw,value=x,enable=true"))

    assert (image.tags, image.remarks) == (["x"], [])


def test_without_tags_the_actions_own_default_counts(project: Project) -> None:
    image = translated(project, "images: acme/shop")

    assert (image.tags, image.is_snapshot) == (["{git_tag}", "latest"], True)


@pytest.mark.parametrize(
    ("flavor", "lines", "expected"),
    [
        ("latest=auto", ["type=semver,pattern={{version}}"], ["{version}", "latest"]),
        ("latest=auto", ["type=sha", "type=raw,value=x"], ["sha-{short_sha}", "x"]),
        ("latest=true", ["type=sha"], ["sha-{short_sha}", "latest"]),
        ("latest=false", ["type=raw,value=latest", "type=sha"], ["latest", "sha-{short_sha}"]),
        ("latest=false", ["type=semver,pattern={{version}}"], ["{version}"]),
        ("prefix=app-", ["type=semver,pattern={{version}}"], ["app-{version}", "latest"]),
    ],
)
def test_a_flavor_is_in_the_templates(
    flavor: str, lines: list[str], expected: list[str], project: Project
) -> None:
    assert translated(project, tags(*lines, flavor=flavor)).tags == expected


@pytest.mark.parametrize(
    ("flavor", "line", "on_latest"),
    [
        ("suffix=-alpine,onlatest=true", "type=semver,pattern={{version}}", True),
        ("suffix=-alpine", "type=semver,pattern={{version}}", False),
        ("latest=auto", "type=semver,pattern={{version}},suffix=-alpine", False),
    ],
)
def test_a_suffix_of_all_tags_is_the_images(
    flavor: str, line: str, on_latest: bool, project: Project
) -> None:
    image = translated(project, tags(line, flavor=flavor))

    assert (image.suffix, image.suffixes_latest) == ("-alpine", on_latest)
    assert image.tags == ["{version}", "latest"]


def test_images_are_resolved_as_far_as_they_are_known(project: Project) -> None:
    image = translated(
        project,
        "images: |\n  ${{ env.IMAGE }}\n  # a comment\n  name=quay.io/acme/shop\n"
        "  ${{ vars.MIRROR }}\n  name=acme/other,enable=${{ inputs.all }}\n"
        "  name=acme/off,enable=false\n  acme/on,enable=true",
    )

    assert image.images == ["ghcr.io/Acme/Shop", "quay.io/acme/shop", "acme/other", "acme/on"]
    assert "not taken: the image ${{ vars.MIRROR }}" in image.remarks
    assert any(text.startswith("acme/other was taken only if ${{") for text in image.remarks)


def test_a_build_has_the_same_keys(project: Project) -> None:
    image = translated(
        project,
        build="""\
context: ./app/
file: ./app/Dockerfile.prod
target: web
platforms: linux/amd64, linux/arm64
build-args: |
  VERSION=${{ steps.meta.outputs.version }}
  COMMIT=${{ github.sha }}
  DATE=${{ fromJSON(steps.meta.outputs.json).labels['org.opencontainers.image.created'] }}
  TOKEN=${{ secrets.TOKEN }}
cache-from: type=registry,ref=acme/shop:cache
cache-to: type=registry,ref=acme/shop:cache,mode=max
provenance: mode=max
sbom: true
pull: true
no-cache: false
secret-envs: npm=NPM_TOKEN
secrets: |
  "git=${{ secrets.GIT }}"
outputs: type=oci""",
    )

    assert image.build == {
        "context": "app",
        "file": "app/Dockerfile.prod",
        "target": "web",
        "platforms": ["linux/amd64", "linux/arm64"],
        "args": {"VERSION": "{version}", "COMMIT": "{sha}", "DATE": "{created}"},
        "cache-from": ["type=registry,ref=acme/shop:cache"],
        "cache-to": ["type=registry,ref=acme/shop:cache,mode=max"],
        "provenance": "mode=max",
        "sbom": "true",
        "pull": True,
        "secrets": ["id=npm,env=NPM_TOKEN"],
    }
    remarks = "\n".join(image.remarks)
    assert "not taken: args: TOKEN" in remarks
    assert "secrets.TOKEN" not in remarks
    assert "not taken: the secret git:" in remarks
    assert "not taken: outputs: type=oci" in remarks


def test_labels_and_annotations_of_metadata_action_are_the_builds(project: Project) -> None:
    image = translated(
        project,
        "images: acme/shop\nlabels: |\n  team=web\n  by=${{ github.actor }}\nannotations: |\n  a=b",
        "annotations: ${{ steps.meta.outputs.annotations }}",
    )

    assert image.build == {"labels": {"team": "web"}, "annotations": ["a=b"]}
    assert "not taken: labels: by" in image.remarks


def test_githubs_cache_is_one_key(project: Project) -> None:
    image = translated(project, build="cache-from: type=gha\ncache-to: type=gha,mode=max")

    assert image.build == {"cache": "gha"}


def test_a_git_url_is_no_context(project: Project) -> None:
    image = translated(project, build="context: https://github.com/acme/other.git")

    assert image.build == {}
    assert "not taken: the context https://github.com/acme/other.git" in image.remarks


def test_references_that_are_written_out_are_images_and_tags(project: Project) -> None:
    workflow = """\
jobs:
  build:
    steps:
      - uses: docker/build-push-action@v6
        with:
          push: true
          tags: |
            acme/shop:latest, acme/shop:${{ github.ref_name }}
            ghcr.io/${{ github.repository_owner }}/shop:latest
            ghcr.io/acme/shop
      - uses: docker/build-push-action@v6
        with: { push: false }
      - uses: docker/bake-action@v6
"""
    found = project.workflow(workflow).translate()

    (image,) = found.images
    assert image.images == ["acme/shop", "ghcr.io/Acme/shop"]
    assert image.tags == ["latest", "{git_tag}"]
    assert image.remarks == ["not taken: the tag ghcr.io/acme/shop"]
    assert found.notes == (".github/workflows/docker.yml: docker/bake-action is not translated",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is not YAML"),
        ("&a [*a, *b]", "is not YAML"),
        ("\0", "not YAML"),
        ("a: !!python/object/apply:os.system [touch x]\n? [a]\n: b", "not YAML"),
        ("[" * 600, "nested too deeply"),
        ("#" * (1 << 17) + "\n", "too large"),
    ],
)
def test_a_workflow_that_cannot_be_read_is_named_and_passed_over(
    text: str, why: str, project: Project
) -> None:
    project.workflow(text, "bad.yml").workflow(job())

    found = project.translate()

    assert len(found.images) == 1
    (note,) = found.notes
    assert note.startswith(".github/workflows/bad.yml cannot be read and is passed over: ")
    assert why in note
    assert not (project.repository.path / "x").exists()


@pytest.mark.parametrize(
    "text",
    [
        "just text",
        "- a list",
        "jobs: text",
        "jobs: [a]",
        "jobs: { a: b }",
        "jobs: { a: { steps: text } }",
        "jobs: { a: { steps: [a, { uses: [b], with: c }] } }",
        "jobs: { a: { steps: [{ uses: docker/build-push-action@v6, with: { tags: [a] } }] } }",
        "env: { A: '${{ env.A }}' }\njobs: { a: { steps: [{ uses: docker/build-push-action@v6,"
        " with: { tags: 'x/${{ env.A }}:1' } }] } }",
        "on: { schedule: text }\njobs: { a: { steps: [{ uses: docker/build-push-action@v6,"
        " with: { tags: 'acme/shop' } }] } }",
        "jobs: &a { b: *a }",
    ],
)
def test_a_workflow_of_any_shape_is_no_failure(text: str, project: Project) -> None:
    assert not [each.tags for each in project.workflow(text).translate().images if each.tags]
