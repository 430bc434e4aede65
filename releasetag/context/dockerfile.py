"""Read from a Dockerfile what has to be known before it is built: its labels and base images.

The builder checks the Dockerfile, this does not. Source: the Dockerfile reference, sections
"Parser directives", "Here-documents", ARG, FROM and LABEL, and where that is silent the parser of
github.com/moby/buildkit (``frontend/dockerfile/parser``).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from releasetag.json_text import InvalidJsonError, parse_json

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(\S.*)", re.IGNORECASE)
_HEREDOC = re.compile(r"\d*<<(-?)\s*+([^<]+)")
_WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?)([-+?])([^{}]*))?\})")
# Predefined by the builder; they depend on the platform.
_AUTOMATIC = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)")


@dataclass
class _Stage:
    """A build stage; ``labels`` and ``variables`` include those of the stage it is based on."""

    base: str
    name: str
    is_from_stage: bool
    labels: set[str]
    variables: dict[str, str]
    copied_from: list[str] = field(default_factory=list)


def own_labels(
    dockerfile: str, target: str | None, build_args: Mapping[str, str | None] | None = None
) -> frozenset[str]:
    """The keys of the labels of the built stage and of the stages that it is based on.

    Args:
        target: the stage that is built, by name or number; None is the last one.
        build_args: values that override the Dockerfile's defaults.
    """
    stages = _stages(dockerfile, build_args or {})
    stage = _built_stage(stages, target)
    return frozenset(stage.labels if stage else ())


def base_image(
    dockerfile: str, target: str | None, build_args: Mapping[str, str | None] | None = None
) -> str:
    """The image that the built stage is based on, through other stages; empty if it has none.

    Args:
        target: the stage that is built, by name or number; None is the last one.
        build_args: values that override the Dockerfile's defaults.
    """
    stages = _stages(dockerfile, build_args or {})
    stage = _built_stage(stages, target)
    while stage is not None and stage.is_from_stage:
        above = stages[: stages.index(stage)]
        stage = next((each for each in reversed(above) if each.name == stage.base.lower()), None)
    base = stage.base if stage else ""
    return "" if base == "scratch" or "$" in base else base


def _built_stage(stages: list[_Stage], target: str | None) -> _Stage | None:
    by_name = {str(number): stage for number, stage in enumerate(stages)}
    by_name |= {stage.name: stage for stage in stages if stage.name}
    return by_name.get(target.lower()) if target else (stages[-1] if stages else None)


def base_images(dockerfile: str, build_args: Mapping[str, str | None] | None = None) -> list[str]:
    """The images that stages are based on or copy from, without platform-dependent names."""
    stages = _stages(dockerfile, build_args or {})
    names = {stage.name for stage in stages}
    images = [stage.base for stage in stages if not stage.is_from_stage]
    for stage in stages:
        images += [name for name in stage.copied_from if name.lower() not in names]
    return list(dict.fromkeys(i for i in images if i and "$" not in i and i != "scratch"))


def _stages(dockerfile: str, build_args: Mapping[str, str | None]) -> list[_Stage]:
    stages: list[_Stage] = []
    by_name: dict[str, _Stage] = {}
    shared: dict[str, str] = {}  # for all FROM lines, by ARG before the first one
    lines = _lines(dockerfile)
    escape = _escape(lines)
    for instruction, rest in _instructions(lines, escape):
        known = stages[-1].variables if stages else shared
        if instruction == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")] or [""]
            name = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else ""
            base = _expanded(_unquoted(words[0], escape), shared)
            above = by_name.get(base.lower())
            labels, variables = (above.labels, above.variables) if above else (set(), {})
            stage = _Stage(base, name, above is not None, {*labels}, {**variables})
            stages.append(stage)
            by_name |= {name: stage} if name else {}
        elif instruction in {"ARG", "ENV"}:
            for key, value in _pairs(rest, escape, has_old_form=instruction == "ENV"):
                default = shared.get(key) if value is None else _expanded(value, known)
                given = build_args.get(key) if instruction == "ARG" else None
                if (value := default if given is None else given) is not None:
                    known[key] = value
        elif instruction == "LABEL" and stages:
            pairs = _pairs(rest, escape, has_old_form=True)
            stages[-1].labels |= {_expanded(key, known) for key, _ in pairs}
        elif instruction == "COPY" and stages:
            found = re.match(r"(?:--\S+\s+)*?--from=(\S+)", rest)
            stages[-1].copied_from += [found[1]] if found and not found[1].isdigit() else []
    return stages


def _pairs(rest: str, escape: str, *, has_old_form: bool) -> list[tuple[str, str | None]]:
    """Parse the ``KEY=VALUE`` pairs of ARG, ENV and LABEL, without their quotes."""
    words = _words(rest, escape) or rest.split()
    if has_old_form and len(words) > 1 and "=" not in words[0]:  # LABEL key some words
        return [(_unquoted(words[0], escape), rest.partition(words[0])[2].strip())]
    pairs = (word.partition("=") for word in words)
    return [
        (_unquoted(key, escape), _unquoted(value, escape) if equals else None)
        for key, equals, value in pairs
    ]


def _words(text: str, escape: str) -> list[str]:
    """Split into words as a shell does, keeping quotes; none if a quote is not closed."""
    e = re.escape(escape)
    # Blanks between << and its word belong to the word.
    word = rf"""(?:<<[ \t]*|[^\s"'{e}]|{e}.|"(?:[^"{e}]|{e}.)*"|'[^']*')+"""
    return [] if re.sub(word, "", text).strip(f" \t{escape}") else re.findall(word, text)


def _unquoted(word: str, escape: str) -> str:
    e = re.escape(escape)

    def plain(match: re.Match[str]) -> str:
        escaped, double, single = match.groups()
        if double is not None:
            return re.sub(rf'{e}(["${e}])', r"\1", double)
        return escaped or single or ""

    return re.sub(rf"""{e}(.)|"((?:[^"{e}]|{e}.)*)"|'([^']*)'""", plain, word)


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """Expand variables; one without a value is empty, unless the builder predefines it."""

    def value(match: re.Match[str]) -> str:
        short, long, colon, operator, other = match.groups()
        name = short or long
        is_set = bool(values.get(name)) if colon else name in values
        if operator == "+":
            return str(other) if is_set else ""
        if is_set:
            return values[name]
        if operator == "-":
            return str(other)
        return str(match[0]) if _AUTOMATIC.fullmatch(name) else ""

    return _VARIABLE.sub(value, text)


def _lines(dockerfile: str) -> list[str]:
    return [line.rstrip("\r") for line in dockerfile.removeprefix("\ufeff").split("\n")]


def _escape(lines: list[str]) -> str:
    """The escape character, which a directive at the very top may set."""
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape":
            return directive[2] if directive[2] in {"\\", "`"} else "\\"
    return "\\"


def _instructions(lines: list[str], escape: str) -> Iterator[tuple[str, str]]:
    """Yield instructions in upper case with their arguments, continued lines joined."""
    # A doubled escape character is an ordinary one, and continues nothing.
    continued = re.compile(r"(^|[^E])E[ \t]*$".replace("E", re.escape(escape)))
    remaining = iter(lines)
    for line in remaining:
        piece = line.strip()
        if not piece or piece.startswith("#"):
            continue
        pieces = []
        while continued.search(piece):
            pieces.append(continued.sub(r"\1", piece))
            following = (m for m in remaining if m.strip() and not m.lstrip().startswith("#"))
            piece = next(following, "")
        joined = "".join([*pieces, piece]).strip()
        instruction, rest = (*joined.split(maxsplit=1), "", "")[:2]
        for end, is_indented in _heredocs(instruction.upper(), rest):
            for more in remaining:
                if (more.lstrip("\t") if is_indented else more) == end:
                    break
        yield instruction.upper(), rest


def _heredocs(instruction: str, rest: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines that end the here-documents, and whether tabs may precede them."""
    if instruction == "ONBUILD":
        instruction, rest = (*rest.split(maxsplit=1), "", "")[:2]
    if instruction.upper() not in _WITH_HEREDOCS or "<<" not in rest or _is_json(rest):
        return
    for word in _words(rest, "\\"):
        match = _HEREDOC.fullmatch(word)
        if match and (end := _unquoted(match[2], "\\")):
            yield end, match[1] == "-"


def _is_json(rest: str) -> bool:
    try:
        return isinstance(parse_json(re.sub(r"^(--\S+\s+)+", "", rest)), list)
    except InvalidJsonError:
        return False
