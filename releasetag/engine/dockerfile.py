"""What has to be known of a Dockerfile before it is built: its own labels and its base images.

The engine reads the Dockerfile; this does not check it. Source: the Dockerfile reference,
sections FROM, LABEL and "Here-documents".
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1")


@dataclass
class _Stage:
    base: str
    name: str
    labels: set[str] = field(default_factory=set)


def own_labels(dockerfile: str, target: str | None) -> frozenset[str]:
    """The keys of the labels that the built stage sets, itself or through the stages it is from.

    Args:
        dockerfile: its text.
        target: the stage that is built; None is the last one.
    """
    stages = _stages(dockerfile)
    by_name = {stage.name.lower(): stage for stage in stages if stage.name}
    stage = by_name.get(target.lower()) if target else (stages[-1] if stages else None)
    labels: set[str] = set()
    seen: set[int] = set()
    while stage is not None and id(stage) not in seen:
        seen.add(id(stage))
        labels |= stage.labels
        stage = by_name.get(stage.base.lower())
    return frozenset(labels)


def base_images(dockerfile: str) -> list[str]:
    """The images that stages are from, as they are written; those with variables left out."""
    stages = _stages(dockerfile)
    names = {stage.name.lower() for stage in stages} | {"scratch"}
    bases = (stage.base for stage in stages)
    return list(dict.fromkeys(b for b in bases if b and "$" not in b and b.lower() not in names))


def _stages(dockerfile: str) -> list[_Stage]:
    stages: list[_Stage] = []
    for instruction, rest in _instructions(dockerfile):
        if instruction == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            name = words[2] if len(words) > 2 and words[1].upper() == "AS" else ""
            stages.append(_Stage(words[0] if words else "", name))
        elif instruction == "LABEL" and stages:
            stages[-1].labels |= _label_keys(rest)
    return stages


def _label_keys(rest: str) -> set[str]:
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.split()
    if words and "=" not in words[0]:  # the old form: LABEL key some words
        return {words[0]}
    return {word.partition("=")[0] for word in words}


def _instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Instructions in upper case and what stands behind them, continued lines joined."""
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", dockerfile) else "\\"
    lines = iter(dockerfile.splitlines())
    for line in lines:
        joined = line.strip()
        if not joined or joined.startswith("#"):
            continue
        while joined.endswith(escape):
            joined = joined[:-1]
            for more in lines:
                if more.strip() and not more.strip().startswith("#"):
                    joined += more.strip()
                    break
            else:
                break
        instruction, rest = (*joined.split(maxsplit=1), "", "")[:2]
        if instruction.upper() in {"RUN", "COPY", "ADD"}:
            for _, end in _HEREDOC.findall(rest):
                for more in lines:
                    if more.strip() == end:
                        break
        yield instruction.upper(), rest
