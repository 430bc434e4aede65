"""Translate docker/metadata-action and docker/build-push-action in GitHub's workflows.

Sources: the READMEs of both actions (metadata-action 5, build-push-action 6); GitHub Docs,
"Workflow syntax" and "Contexts".
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from releasetag.init.survey import Survey
from releasetag.text import printable

_LARGEST = 1 << 17
_META, _BUILD, _BAKE = (f"docker/{name}-action@" for name in ("metadata", "build-push", "bake"))
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_HANDLEBARS = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_DEFAULT_TAGS = (
    "type=schedule",
    "type=ref,event=branch",
    "type=ref,event=tag",
    "type=ref,event=pr",
)
_META_VERSION = re.compile(
    r"steps\.[\w-]+\.outputs\.version"
    r"|fromJSON\(steps\.[\w-]+\.outputs\.json\)\.labels\['org\.opencontainers\.image\.(\w+)'\]"
)
_FIELDS = {
    **{"version": "{version}", "raw": "{git_tag}", "major": "{major}", "minor": "{minor}"},
    **{"patch": "{patch}", "sha": "{short_sha}", "tag": "{git_tag}"},
}

# What has the same meaning under another name: the input, and the key in [build].
_LISTS = {
    **{"platforms": "platforms", "cache-from": "cache-from", "cache-to": "cache-to"},
    **{"build-contexts": "build-contexts", "add-hosts": "add-hosts", "ulimit": "ulimits"},
    **{"allow": "allow", "annotations": "annotations", "attests": "attest", "ssh": "ssh"},
}
_TEXTS = {
    **{"target": "target", "network": "network", "shm-size": "shm-size", "sbom": "sbom"},
    **{"provenance": "provenance", "cgroup-parent": "cgroup-parent"},
}
_FLAGS = {"no-cache": "no-cache", "pull": "pull"}
_MAPS = {"build-args": "args", "labels": "labels"}
_SECRETS = {"secrets", "secret-envs", "secret-files"}
_IGNORED = {"context", "file", "push", "load", "tags", "builder", "github-token"}


@dataclass
class Image:
    """One image that a workflow publishes.

    Attributes:
        images: the repositories.
        tags: the tag templates.
        suffix: that all of the tags have, which is not in the templates; latest only if
            suffixes_latest.
        versions: ``pep440`` if its tags are of that type; else empty.
        edge: the tag of the default branch; empty: it has none, or the one that releasetag has.
        is_snapshot: whether it is published for more than git tags.
        schedules: the cron expressions of its workflow.
        build: the keys of ``[build]`` with their values.
        remarks: what is not the same, each a sentence.
    """

    workflow: str
    images: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    suffix: str = ""
    suffixes_latest: bool = False
    versions: str = ""
    edge: str = ""
    is_snapshot: bool = False
    schedules: tuple[str, ...] = ()
    build: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        """Add a remark, once."""
        text = printable(text, 300)
        if text not in self.remarks:
            self.remarks.append(text)


@dataclass(frozen=True)
class Translation:
    """What the workflows publish.

    Attributes:
        notes: which workflows could not be read, and which steps are of no use here.
    """

    images: tuple[Image, ...]
    notes: tuple[str, ...]


def translate(survey: Survey) -> Translation:
    """Translate every workflow; one that cannot be read is named and passed over."""
    images: list[Image] = []
    notes: list[str] = []
    for file in survey.workflows:
        try:
            workflow = _read(survey, file)
        except ValueError as error:
            notes.append(f"{file} cannot be read and is passed over: {error}")
            continue
        for job in _maps(_map(workflow.get("jobs")).values()):
            images += _Job(survey, str(file), workflow, job, notes.append).images()
    return Translation(tuple(images), tuple(notes))


def _read(survey: Survey, file: PurePosixPath) -> dict[str, Any]:
    """Read a file as YAML whose scalars are all strings.

    Raises:
        ValueError: it cannot be read.
    """
    import yaml

    try:
        content = (survey.root / file).read_bytes()
        if len(content) > _LARGEST:
            raise ValueError("it is too large")
        # No objects are made of it; "on" and "1.20" stay what they are.
        return _map(yaml.load(content, Loader=yaml.BaseLoader))  # noqa: S506 (BaseLoader is safe)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1} is not YAML" if mark else "not YAML") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except OSError as error:
        raise ValueError(error.strerror) from None


@dataclass(frozen=True)
class _Job:
    """A job of a workflow."""

    survey: Survey
    file: str
    workflow: Mapping[str, Any]
    job: Mapping[str, Any]
    note: Callable[[str], None]

    def images(self) -> list[Image]:
        """Return what the job publishes: a build with the tags that it refers to."""
        metas: dict[str, Mapping[str, Any]] = {}
        found = []
        last: Mapping[str, Any] | None = None
        for step in _maps(self.job.get("steps")):
            uses, inputs = str(step.get("uses") or ""), _map(step.get("with"))
            if uses.startswith(_META):
                last = metas[str(step.get("id") or "")] = inputs
            elif uses.startswith(_BUILD):
                named = re.findall(r"steps\.([\w-]+)\.outputs", str(inputs.get("tags") or ""))
                meta = next((metas[name] for name in named if name in metas), None)
                if meta is None and not inputs.get("tags"):
                    meta = last
                if meta is not None or inputs.get("tags"):
                    found.append(self._image(meta, inputs))
            elif uses.startswith(_BAKE):
                self.note(f"{self.file}: docker/bake-action is not translated")
        return found

    def _image(self, meta: Mapping[str, Any] | None, build: Mapping[str, Any]) -> Image:
        image = Image(self.file)
        if meta is not None:
            _translate_metadata(image, meta, self._resolve)
        else:
            self._translate_plain_tags(image, str(build["tags"]))
        _translate_build(image, build, self._resolve)
        triggers = _map(self.workflow.get("on"))
        crons = [each.get("cron") for each in _maps(triggers.get("schedule"))]
        image.schedules = tuple(each for each in crons if isinstance(each, str) and each)
        return image

    def _translate_plain_tags(self, image: Image, text: str) -> None:
        """Translate references that were written out, without metadata-action."""
        for reference in _items(text):
            resolved = self._resolve(reference)
            name, colon, tag = (resolved or "").rpartition(":")
            if resolved is None or not colon or "/" in tag:
                image.remark(f"not taken: the tag {reference}")
                continue
            if name not in image.images:
                image.images.append(name)
            if tag not in image.tags:
                image.tags.append(tag)

    def _resolve(self, text: str, depth: int = 0) -> str | None:
        """Return a text with its expressions replaced; None if one is not known here."""
        unknown = False

        def value(match: re.Match[str]) -> str:
            nonlocal unknown
            found = self._value(match[1], depth)
            unknown = unknown or found is None
            return found or ""

        resolved = _EXPRESSION.sub(value, text)
        return None if unknown or "${{" in resolved else resolved

    def _value(self, expression: str, depth: int) -> str | None:
        owner, _, name = self.survey.path.partition("/")
        known = {
            "github.repository": self.survey.path,
            "github.repository_owner": owner,
            "github.event.repository.name": name,
            "github.sha": "{sha}",
            "github.ref_name": "{git_tag}",
            "github.event.release.tag_name": "{git_tag}",
        }
        if expression in known:
            return known[expression] or None
        if expression.startswith("env.") and depth < 5:
            env = {**_map(self.workflow.get("env")), **_map(self.job.get("env"))}
            value = env.get(expression.removeprefix("env."))
            return self._resolve(value, depth + 1) if isinstance(value, str) else None
        if match := _META_VERSION.fullmatch(expression):
            label = {"version": "{version}", "revision": "{sha}", "created": "{created}"}
            return label.get(match[1] or "version")
        return None


_Resolve = Callable[[str], str | None]


def _translate_metadata(image: Image, inputs: Mapping[str, Any], resolve: _Resolve) -> None:
    lines = _lines(inputs.get("flavor"))
    flavor = {key: value for line in lines for key, value in _attributes(line).items()}
    for line in _lines(inputs.get("images")):
        attributes = _attributes(line)
        name = attributes.get("name") or attributes.get("", "")
        enable, resolved = attributes.get("enable", "true"), resolve(name)
        if enable == "false":
            continue
        if not resolved:
            image.remark(f"not taken: the image {name}")
            continue
        image.images.append(resolved)
        if enable != "true":
            image.remark(f"{name} was taken only if {enable}: it always is here")
    image.suffix = resolve(flavor.get("suffix", "")) or ""
    if flavor.get("suffix") and not image.suffix:
        image.remark(f"not taken: the suffix {flavor['suffix']}")
    prefix = resolve(flavor.get("prefix", "")) or ""
    translated = [
        tag
        for line in _lines(inputs.get("tags")) or _DEFAULT_TAGS
        for tag in _tag(image, _attributes(line), prefix, resolve)
    ]
    wants_latest = flavor.get("latest", "auto")
    if wants_latest == "true" or (
        wants_latest == "auto" and any("{" in tag and "sha" not in tag for tag in translated)
    ):
        translated.append("latest")
    if wants_latest == "true":
        image.remark("latest follows the highest stable release, and moves for no other build")
    image.suffixes_latest = flavor.get("onlatest") == "true"
    image.tags = list(dict.fromkeys(translated))
    _share_suffix(image)
    _translate_list(image, "annotations", _lines(inputs.get("annotations")), resolve)
    labels = _lines(inputs.get("labels"))
    _translate_map(image, "labels", labels, resolve)


def _tag(
    image: Image, attributes: Mapping[str, str], flavor_prefix: str, resolve: _Resolve
) -> Iterator[str]:
    """Yield the template of a line of ``tags``, if there is one."""
    kind = attributes.get("type", "raw" if "" in attributes else "")
    shown = ",".join(f"{key}={value}" if key else value for key, value in attributes.items())
    if not _applies(image, attributes, shown):
        return
    prefix = attributes.get("prefix", "sha-" if kind == "sha" else flavor_prefix)
    suffix = attributes.get("suffix", "")
    if "${{" in prefix + suffix:
        image.remark(f"not taken: {shown}")
        return
    template: str | None = None
    match kind:
        case "semver" | "pep440":
            image.versions = image.versions or (kind if kind == "pep440" else "")
            template = _pattern(attributes.get("pattern", "{{version}}"))
            if "value" in attributes:
                image.remark(f"the version is the git tag's, not {attributes['value']}")
        case "match":
            template = "{version}"
            image.remark(f"{shown} is taken for {{version}}: see what tag-prefix has to be")
        case "sha":
            template = "{sha}" if attributes.get("format") == "long" else "{short_sha}"
        case "ref" if attributes.get("event") == "tag":
            template = "{git_tag}"
        case "ref" | "schedule" | "edge":
            _snapshot(image, kind, attributes, shown)
            return
        case "raw" | "":
            value = attributes.get("value", attributes.get("", ""))
            template = _pattern(resolve(value) or "")
    if not template:
        image.remark(f"not taken: {shown}")
        return
    yield f"{prefix}{template}{suffix}"


def _applies(image: Image, attributes: Mapping[str, str], shown: str) -> bool:
    """Whether a tag is one of releases, by its ``enable``."""
    enable = attributes.get("enable", "true")
    if enable in {"true", ""}:
        return True
    if enable == "false":
        return False
    if "is_default_branch" in enable or "refs/heads/" in enable:
        image.is_snapshot = True
        if attributes.get("value") == "latest":
            image.remark("latest follows the highest stable release, not the default branch")
            return True
        image.remark(f"not taken: {shown}: a branch has the tag edge")
        return False
    image.remark(f"{shown}: enable is left out; no prerelease or old line moves a floating tag")
    return True


def _snapshot(image: Image, kind: str, attributes: Mapping[str, str], shown: str) -> None:
    """Note that there are builds of what is no release, which releasetag snapshot names."""
    image.is_snapshot = True
    pattern = attributes.get("pattern", "nightly")
    if kind == "edge":
        image.edge = attributes.get("value", "edge")
        if "branch" in attributes:
            image.remark(f"{shown}: edge is the tag of the default branch")
    elif kind == "schedule" and pattern != "nightly":
        image.remark(f"{shown}: a scheduled snapshot is called nightly")
    elif kind == "ref" and attributes.get("event") == "branch" and not image.edge:
        image.remark('the default branch has the tag edge: edge = "…" gives it another')


def _pattern(text: str) -> str | None:
    """Return a pattern of metadata-action as a template; None if a part of it has none."""
    unknown = False

    def name(match: re.Match[str]) -> str:
        nonlocal unknown
        unknown = unknown or match[1] not in _FIELDS
        return _FIELDS.get(match[1], "")

    template = _HANDLEBARS.sub(name, text)
    return None if unknown else template


def _translate_build(image: Image, inputs: Mapping[str, Any], resolve: _Resolve) -> None:
    values = {name: value for name, value in inputs.items() if isinstance(value, str) and value}
    _translate_place(image, values, resolve)
    for name, value in values.items():
        if name in _IGNORED or (name == "labels" and "steps." in value):
            continue  # metadata-action's: releasetag's own take their place
        if name in _MAPS:
            _translate_map(image, _MAPS[name], _lines(value), resolve)
        elif name in _LISTS:
            split = _lines if name in {"annotations", "cache-from", "cache-to"} else _items
            _translate_list(image, _LISTS[name], split(value), resolve)
        elif name in _TEXTS and (text := resolve(value)):
            image.build[_TEXTS[name]] = text
        elif name in _FLAGS and value in {"true", "false"}:
            image.build |= {_FLAGS[name]: True} if value == "true" else {}
        elif name in _SECRETS:
            _translate_secrets(image, name, _lines(value))
        else:
            image.remark(f"not taken: {name}: {value}")
    _merge_cache(image)


def _translate_place(image: Image, values: Mapping[str, str], resolve: _Resolve) -> None:
    context, file = resolve(values.get("context", "")), resolve(values.get("file", ""))
    if context is None or "://" in context:
        image.remark(f"not taken: the context {values['context']}")
    elif context.strip("./"):
        image.build["context"] = context.rstrip("/").removeprefix("./")
    if file is None:
        image.remark(f"not taken: the file {values['file']}")
    elif file:
        image.build["file"] = file.removeprefix("./")


def _translate_list(image: Image, key: str, items: Iterable[str], resolve: _Resolve) -> None:
    found = []
    for item in items:
        if "steps." in item and key == "annotations":
            continue
        resolved = resolve(item)
        if resolved is None:
            image.remark(f"not taken: {key}: {item}")
        else:
            found.append(resolved)
    if found:
        image.build[key] = [*image.build.get(key, []), *found]


def _translate_map(image: Image, key: str, lines: Iterable[str], resolve: _Resolve) -> None:
    for line in lines:
        name, equals, value = line.partition("=")
        resolved = resolve(value)
        if not equals or not name or resolved is None:
            # Its value may be an expression with a secret in it, and is not repeated.
            image.remark(f"not taken: {key}: {name}")
        else:
            image.build.setdefault(key, {})[name] = resolved


def _translate_secrets(image: Image, name: str, lines: Iterable[str]) -> None:
    for line in lines:
        identifier = line.partition("=")[0].strip().strip('"')
        given = line.partition("=")[2].strip().strip('"')
        if name == "secret-envs" and "${{" not in given:
            image.build.setdefault("secrets", []).append(f"id={identifier},env={given}")
        elif name == "secret-files" and "${{" not in given:
            image.build.setdefault("secrets", []).append(f"id={identifier},src={given}")
        else:
            image.remark(
                f"not taken: the secret {identifier}: put it into the job's environment, and write"
                f' secrets = ["id={identifier},env=NAME"]'
            )


def _merge_cache(image: Image) -> None:
    """Write ``cache = "gha"`` where that is all that is meant."""
    given = [*image.build.get("cache-from", []), *image.build.get("cache-to", [])]
    if given and all(re.fullmatch(r"type=gha(,mode=max)?", item) for item in given):
        image.build.pop("cache-from", None)
        image.build.pop("cache-to", None)
        image.build["cache"] = "gha"


def _share_suffix(image: Image) -> None:
    """Take the suffix that each tag has for the suffix of all."""
    versions = [tag for tag in image.tags if "{" in tag]
    found = {match[1] for tag in versions if (match := re.search(r"\}([._-][\w.-]+)$", tag))}
    if not image.suffix and len(found) == 1:
        (suffix,) = found
        if all(tag.endswith(suffix) for tag in versions):
            image.suffix = suffix
            image.suffixes_latest = f"latest{suffix}" in image.tags
            image.tags = [tag.removesuffix(suffix) for tag in image.tags]


def _attributes(line: str) -> dict[str, str]:
    """Return a line's attributes, as CSV has them; what has no ``=`` is under the empty name."""
    try:
        (fields,) = csv.reader([line])
    except (csv.Error, ValueError):
        return {"": line}
    return dict(_pairs(fields))


def _pairs(fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in fields:
        name, equals, value = each.strip().partition("=")
        if equals and re.fullmatch(r"[A-Za-z-]+", name):
            yield name.lower(), value.strip()
        elif each.strip():
            yield "", each.strip()


def _lines(text: Any) -> list[str]:
    """Return the lines of a list input, without comments."""
    lines = str(text or "").splitlines() if isinstance(text, str) else []
    return [line for each in lines if (line := each.strip()) and not line.startswith("#")]


def _items(text: Any) -> list[str]:
    """Return the items of a list input, on lines or with commas between."""
    return [item for line in _lines(text) for each in line.split(",") if (item := each.strip())]


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(values: Any) -> Iterator[dict[str, Any]]:
    for each in values if not isinstance(values, str | dict) and values is not None else ():
        if isinstance(each, dict):
            yield each
