"""What has to be known of a Dockerfile before it is built: its own labels and its base images.

The engine reads the Dockerfile; this does not check it. Source: the Dockerfile reference, sections
"Parser directives", "Here-documents", ARG, FROM and LABEL, and where that is silent the parser of
github.com/moby/buildkit (``frontend/dockerfile/parser``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_DIRECTIVE = re.compile(r"\s*#\s*(syntax|escape|check)\s*=\s*(\S.*?)\s*", re.IGNORECASE)
_HEREDOC = re.compile(r"\d*<<(-?)\s*([^<]+)")
_WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+])([^{}]*))?\})")


@dataclass
class _Stage:
    base: str
    name: str
    labels: set[str] = field(default_factory=set)


def own_labels(
    dockerfile: str, target: str | None, build_args: Mapping[str, str | None] | None = None
) -> frozenset[str]:
    """The keys of the labels that the built stage sets, itself or through the stages it is from.

    Args:
        dockerfile: its text.
        target: the stage that is built, by name or number; None is the last one.
        build_args: what is given in place of the Dockerfile's defaults.
    """
    stages = _stages(dockerfile, build_args or {})
    by_name = {str(number): stage for number, stage in enumerate(stages)}
    by_name |= {stage.name.lower(): stage for stage in stages if stage.name}
    stage = by_name.get(target.lower()) if target else (stages[-1] if stages else None)
    labels: set[str] = set()
    seen: set[int] = set()
    while stage is not None and id(stage) not in seen:
        seen.add(id(stage))
        labels |= stage.labels
        stage = by_name.get(stage.base.lower())
    return frozenset(labels)


def base_images(dockerfile: str, build_args: Mapping[str, str | None] | None = None) -> list[str]:
    """The images that stages are from; those with variables that nobody sets are left out."""
    stages = _stages(dockerfile, build_args or {})
    names = {stage.name.lower() for stage in stages} | {"scratch"}
    bases = (stage.base for stage in stages)
    return list(dict.fromkeys(b for b in bases if b and "$" not in b and b.lower() not in names))


def _stages(dockerfile: str, build_args: Mapping[str, str | None]) -> list[_Stage]:
    stages: list[_Stage] = []
    shared: dict[str, str] = {}  # of all FROM lines, by ARG before the first one
    own: dict[str, str] = {}  # of the stage
    lines = _lines(dockerfile)
    escape = _escape(lines)
    for instruction, rest in _instructions(lines, escape):
        if instruction == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            name = words[2] if len(words) > 2 and words[1].upper() == "AS" else ""
            stages.append(_Stage(_expanded(words[0], shared) if words else "", name))
            own = {}
        elif instruction in {"ARG", "ENV"}:
            known = own if stages else shared
            for key, value in _pairs(rest, escape, has_old_form=instruction == "ENV"):
                default = shared.get(key) if value is None else _expanded(value, known)
                given = build_args.get(key) if instruction == "ARG" else None
                if (value := default if given is None else given) is not None:
                    known[key] = value
        elif instruction == "LABEL" and stages:
            pairs = _pairs(rest, escape, has_old_form=True)
            stages[-1].labels |= {_expanded(key, own) for key, _ in pairs}
    return stages


def _pairs(rest: str, escape: str, *, has_old_form: bool) -> list[tuple[str, str | None]]:
    """The ``KEY=VALUE`` pairs of ARG, ENV and LABEL, without their quotes."""
    words = _words(rest, escape) or rest.split()
    if has_old_form and len(words) > 1 and "=" not in words[0]:  # LABEL key some words
        return [(_unquoted(words[0], escape), rest.partition(words[0])[2].strip())]
    pairs = (word.partition("=") for word in words)
    return [
        (_unquoted(key, escape), _unquoted(value, escape) if equals else None)
        for key, equals, value in pairs
    ]


def _words(text: str, escape: str) -> list[str]:
    """Words as a shell has them, with their quotes; none if a quote is not closed."""
    e = re.escape(escape)
    word = rf"""(?:[^\s"'{e}]|{e}.|"(?:[^"{e}]|{e}.)*"|'[^']*')+"""
    return [] if re.sub(word, "", text).strip() else re.findall(word, text)


def _unquoted(word: str, escape: str) -> str:
    return re.sub(rf"""{re.escape(escape)}(.)|["']""", r"\1", word)


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables' values; what has none stays as it is."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if match[3] == "+":
            return match[4] if values.get(name) else ""
        return values.get(name) or (match[4] if match[3] else values.get(name, match[0]))

    return _VARIABLE.sub(value, text)


def _lines(dockerfile: str) -> list[str]:
    return [line.rstrip("\r") for line in dockerfile.removeprefix("\ufeff").split("\n")]


def _escape(lines: list[str]) -> str:
    """The escape character, from a directive among those at the very top."""
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None:
            break
        if directive[1].lower() == "escape":
            return directive[2] if directive[2] in {"\\", "`"} else "\\"
    return "\\"


def _instructions(lines: list[str], escape: str) -> Iterator[tuple[str, str]]:
    """Instructions in upper case and what stands behind them, continued lines joined."""
    # Doubled, it is a character and continues nothing.
    continued = re.compile(r"(^|[^E])E[ \t]*$".replace("E", re.escape(escape)))
    remaining = iter(lines)
    for line in remaining:
        joined = line.strip()
        if not joined or joined.startswith("#"):
            continue
        while continued.search(joined):
            joined = continued.sub(r"\1", joined)
            for more in remaining:
                if more.strip() and not more.lstrip().startswith("#"):
                    joined += more
                    break
            else:
                break
        instruction, rest = (*joined.split(maxsplit=1), "", "")[:2]
        for end, is_indented in _heredocs(instruction.upper(), rest):
            for more in remaining:
                if (more.lstrip("\t") if is_indented else more) == end:
                    break
        yield instruction.upper(), rest


def _heredocs(instruction: str, rest: str) -> Iterator[tuple[str, bool]]:
    """The lines that end an instruction's here-documents, and whether tabs may stand before."""
    if instruction == "ONBUILD":
        instruction, rest = (*rest.split(maxsplit=1), "", "")[:2]
    if instruction.upper() not in _WITH_HEREDOCS or "<<" not in rest or _is_json(rest):
        return
    for word in _words(rest, "\\"):
        if match := _HEREDOC.fullmatch(word):
            yield _unquoted(match[2], "\\"), match[1] == "-"


def _is_json(rest: str) -> bool:
    try:
        return isinstance(json.loads(re.sub(r"^(--\S+\s+)+", "", rest)), list)
    except ValueError:
        return False
