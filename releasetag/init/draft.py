"""Put together the configuration that a project begins with.

Whatever a workflow or a file name says, the program's own code decides what may stand in it: what
it refuses is left out, with a remark.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from releasetag.config.file import VARIANT_SUFFIX, check_table
from releasetag.config.schema import SCHEMA_URL
from releasetag.errors import UsageError
from releasetag.fanout import fan_out
from releasetag.init.survey import Dockerfile, Survey, Tags, component_folders
from releasetag.init.toml import Value, format_comment, format_entry
from releasetag.init.workflows import Image, Translation
from releasetag.policy import TagPolicy
from releasetag.reference import parse_repository
from releasetag.template import DEFAULT_TEMPLATES, parse_template
from releasetag.version import Release, Scheme, Version, highest, version_of

_ABOUT = "What `releasetag publish` does: https://github.com/releasetag/releasetag#configuration"
_TOP = PurePosixPath()
# A longer one leaves too little of a tag's 128 characters.
_LONGEST_SUFFIX = 42


@dataclass
class Section:
    """The top level, a variant or a component of the configuration.

    Attributes:
        entries: keys with their values; those of the build as ``build.context``.
        remarks: what a person should know of it.
    """

    entries: dict[str, Value] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    variants: list["Section"] = field(default_factory=list)


@dataclass
class Draft:
    """A configuration.

    Attributes:
        top: the top level; components have all else.
        git_tags: patterns of the git tags that a pipeline runs for: ``v*``.
        is_snapshot: whether the project publishes what is no release, too.
        schedules: the cron expressions of those builds.
        replaced: the workflows that publish the images now.
    """

    top: Section
    components: list[Section] = field(default_factory=list)
    git_tags: list[str] = field(default_factory=list)
    is_snapshot: bool = False
    schedules: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    def format(self) -> str:
        """Return the file's text."""
        lines = [f"#:schema {SCHEMA_URL}", *format_comment(_ABOUT), *_top_lines(self.top)]
        for variant in self.top.variants:
            lines += ["", "[[variants]]", *_dotted(variant)]
        for component in self.components:
            lines += ["", "[[components]]", *_dotted(component)]
            for variant in component.variants:
                lines += ["", "[[components.variants]]", *_dotted(variant)]
        return "\n".join(lines) + "\n"


def make_draft(survey: Survey, translation: Translation) -> Draft:
    """Put together a configuration of what a project has."""
    images = [each for each in translation.images if each.images or each.tags]
    folders = component_folders(survey.dockerfiles)
    named = _named_components(survey, folders)
    tags = survey.tags([None, *(p for p in survey.prefixes if p not in named.values())])
    draft = Draft(Section())
    if not named and _TOP not in folders and len(folders) > 1 and not tags.releases:
        named = {folder: f"{_name(folder)}/v" for folder in folders}
    for folder, prefix in named.items():
        draft.components.append(_component(survey, folder, prefix, folders[folder], images))
        draft.git_tags.append(f"{prefix}*")
    rest = {folder: found for folder, found in folders.items() if folder not in named}
    own = [each for each in images if not _is_of_folder(each, named)]
    if not named or (tags.releases and (rest or own)):
        _fill_top(draft.top, survey, tags, rest, own)
        draft.git_tags.append(f"{'v' if tags.prefix is None else tags.prefix}*")
        if tags.prefix is None and tags.releases:
            names = {each.git_tag[:1] for each in tags.releases}
            if "v" not in names:
                draft.git_tags[-1] = "[0-9]*"
    else:
        draft.top.remarks.append("every component has what follows; add what they share here")
    draft.is_snapshot = any(each.is_snapshot for each in images)
    snapshots = [each for each in images if each.is_snapshot]
    draft.schedules = tuple(dict.fromkeys(cron for each in snapshots for cron in each.schedules))
    draft.replaced = tuple(dict.fromkeys(each.workflow for each in images))
    for section in [draft.top, *draft.components]:
        _drop_refused(section)
    if draft.components and not draft.top.entries:
        draft.top.remarks = []
    return draft


def _named_components(
    survey: Survey, folders: Mapping[PurePosixPath, Sequence[Dockerfile]]
) -> dict[PurePosixPath, str]:
    """Return the folders whose name precedes versions in git tags, with that prefix."""
    found: dict[PurePosixPath, str] = {}
    for prefix in survey.prefixes:
        name = re.sub(r"[/@_.-]+v?$|[/@_.-]*$", "", prefix)
        for folder in folders:
            if folder != _TOP and name and name in {str(folder), folder.name}:
                found.setdefault(folder, prefix)
    return found


def _component(
    survey: Survey,
    folder: PurePosixPath,
    prefix: str,
    dockerfiles: Sequence[Dockerfile],
    images: Sequence[Image],
) -> Section:
    section = Section()
    own = [each for each in images if _is_of_folder(each, [folder])]
    tags = survey.tags([prefix])
    section.entries |= {"name": _name(folder), "tag-prefix": prefix}
    _fill(section, tags, own, f"{survey.image}-{_name(folder)}")
    if not own:
        section.entries["build.context"] = str(folder)
        _choose_dockerfile(section, folder, dockerfiles)
    return section


def _fill_top(
    section: Section,
    survey: Survey,
    tags: Tags,
    folders: Mapping[PurePosixPath, Sequence[Dockerfile]],
    images: Sequence[Image],
) -> None:
    if tags.prefix is not None:
        section.entries["tag-prefix"] = tags.prefix
    _fill(section, tags, images, survey.image)
    if images:
        return
    if _TOP not in folders and len(folders) > 1:
        # All are released by one git tag.
        section.entries.pop("images")
        for folder, dockerfiles in folders.items():
            variant = Section({"name": _name(folder), "suffix": ""})
            variant.entries["images"] = [f"{survey.image}-{_name(folder)}"]
            variant.entries["build.context"] = str(folder)
            _choose_dockerfile(variant, folder, dockerfiles)
            section.variants.append(variant)
        return
    folder = _TOP if _TOP in folders else next(iter(folders), _TOP)
    section.entries["build.context"] = str(folder)
    if folder not in folders:
        section.entries["build.file"] = "Dockerfile"
        section.remarks.append("there is no Dockerfile yet")
        return
    _choose_dockerfile(section, folder, folders[folder], writes_it=True)
    for other in (path for path in folders if path != folder):
        shown = ", ".join(str(each.path) for each in folders[other])
        section.remarks.append(
            f"not taken: {shown}; several images are [[variants]] or [[components]]"
        )


def _fill(section: Section, tags: Tags, images: Sequence[Image], image: str) -> None:
    """Fill in images, tags and versions, of a workflow if there is one."""
    section.remarks.append(tags.summary)
    if not images:
        section.entries |= {"images": [image], "tags": list(DEFAULT_TEMPLATES)}
        if image.endswith("acme/app"):
            section.remarks.append("images are an example: write where to publish")
    else:
        _fill_in_translated(section, images, image)
    scheme = tags.scheme
    if images and not tags.releases and images[0].versions == "pep440":
        scheme = "pep440"
    if scheme != "semver":
        section.entries["versions"] = scheme
    section.entries["tags"] = _possible_tags(section, tags, scheme)


def _fill_in_translated(section: Section, images: Sequence[Image], image: str) -> None:
    first, *others = images
    section.entries["images"] = first.images or [image]
    section.entries["tags"] = list(first.tags)
    if first.edge and first.edge != "edge":
        section.entries["edge"] = first.edge
    section.remarks.append(f"translated from {first.workflow}")
    same = [each for each in others if each.images == first.images and each.tags]
    suffixes = [each.suffix for each in [first, *same]]
    for each in [first, *others]:
        section.remarks += [text for text in each.remarks if text not in section.remarks]
    is_possible = all(
        re.fullmatch(VARIANT_SUFFIX, suffix) and len(suffix) <= _LONGEST_SUFFIX
        for suffix in suffixes
    )
    if same and is_possible and len(set(suffixes)) == len(suffixes):
        for each in sorted([first, *same], key=lambda each: bool(each.suffix)):
            section.variants.append(_variant(each, first))
            if {*each.tags} != {*first.tags}:
                section.remarks.append(f"the tags of {each.workflow} differ: all have these")
    else:
        section.entries |= _build_entries(first)
        if first.suffix:
            section.entries["tags"] = [
                tag if tag == "latest" and not first.suffixes_latest else f"{tag}{first.suffix}"
                for tag in first.tags
            ]
        same = []
    for each in others:
        if each not in same:
            where = ", ".join(each.images) or "another image"
            section.remarks.append(f"not taken: {where} of {each.workflow}")


def _variant(image: Image, first: Image) -> Section:
    name = image.suffix.lstrip("-._") or "plain"
    section = Section({"name": name, "suffix": image.suffix})
    if image.suffix and image.suffixes_latest:
        section.entries["latest"] = f"latest{image.suffix}"
    elif image.suffix:
        section.remarks.append(f"the tag of its latest is {name}")
    if image.images != first.images:
        section.entries["images"] = image.images
    section.entries |= _build_entries(image)
    return section


def _build_entries(image: Image) -> dict[str, Value]:
    return {f"build.{key}": value for key, value in image.build.items()}


def _choose_dockerfile(
    section: Section,
    folder: PurePosixPath,
    dockerfiles: Sequence[Dockerfile],
    *,
    writes_it: bool = False,
) -> None:
    """Write which Dockerfile is built, or a variant for each."""
    files = {each.variant: _relative(each, folder) for each in reversed(dockerfiles)}
    if len(files) == 1:
        ((_, file),) = files.items()
        if writes_it or file != "Dockerfile":
            section.entries["build.file"] = file
        return
    for variant in sorted(files):
        name = variant or "plain"
        own = Section({"name": name, "suffix": f"-{variant}" if variant else ""})
        own.entries["build.file"] = files[variant]
        section.variants.append(own)


def _relative(dockerfile: Dockerfile, folder: PurePosixPath) -> str:
    return str(dockerfile.path.relative_to(folder))


def _is_of_folder(image: Image, folders: Iterable[PurePosixPath]) -> bool:
    paths = [str(image.build.get(key, "")) for key in ("context", "file")]
    return any(
        path == str(folder) or path.startswith(f"{folder}/") for path in paths for folder in folders
    )


def _name(folder: PurePosixPath) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", folder.name.lower()).strip("-") or "app"


def _possible_tags(section: Section, tags: Tags, scheme: Scheme) -> list[str]:
    """Return the templates that are possible for the project's versions, one of them exact."""
    sample = highest(tags.releases)
    if sample is None:
        sample = _sample(tags, scheme)
    found: list[str] = []
    given = section.entries["tags"]
    for text in given if isinstance(given, list) else []:
        try:
            template = parse_template(text)
            exact = parse_template("{version}")
            policy = TagPolicy((exact, template), frozenset(), tags.prefix, scheme)
            releases = [each for each in tags.releases if each.version.scheme == scheme]
            policy.check([*releases, sample], releases)
            fan_out(sample, [sample], policy)
            found.append(text)
        except UsageError as error:
            section.remarks.append(f"not taken: the tag {text}: {error.message}")
    if not any(parse_template(text).kind == "exact" for text in found):
        section.remarks.append("{version} is added: a release needs a tag that names it for ever")
        found.insert(0, "{version}")
    return found


def _sample(tags: Tags, scheme: Scheme) -> Release:
    """Return a release such as a project without any will have."""
    git_tag = f"{'v' if tags.prefix is None else tags.prefix}1.2.3"
    version = version_of(git_tag, tags.prefix, scheme)
    return Release(git_tag, cast("Version", version), "0" * 40)


def _drop_refused(section: Section) -> None:
    """Leave out what the program does not take."""
    for key, value in list(section.entries.items()):
        if key in {"name", "suffix", "latest", "tag-prefix"}:
            continue
        try:
            check_table(_table({key: value}))
            if key == "images":
                names = cast("list[str]", value)
                section.entries[key] = [str(parse_repository(name)) for name in names]
        except UsageError as error:
            del section.entries[key]
            section.remarks.append(f"not taken: {error.message}")
            if key == "images":
                section.entries["images"] = ["acme/app"]
    for variant in section.variants:
        _drop_refused(variant)


def _table(entries: Mapping[str, Value]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in entries.items():
        if key.startswith("build."):
            table.setdefault("build", {})[key.removeprefix("build.")] = value
        else:
            table[key] = value
    return table


def _top_lines(section: Section) -> list[str]:
    lines = [line for text in section.remarks for line in format_comment(text)]
    build = {key: value for key, value in section.entries.items() if key.startswith("build.")}
    lines += [format_entry(key, v) for key, v in section.entries.items() if key not in build]
    if build:
        lines += ["", "[build]"]
        lines += [format_entry(key.removeprefix("build."), value) for key, value in build.items()]
    return lines


def _dotted(section: Section) -> list[str]:
    lines = [line for text in section.remarks for line in format_comment(text)]
    return lines + [format_entry(key, value) for key, value in section.entries.items()]
