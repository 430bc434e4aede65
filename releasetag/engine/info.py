"""Read the engine's configuration of registries.

Source: Docker Engine API 1.24 to 1.52, ``GET /info``, RegistryServiceConfig. Podman has the same.
"""

import docker.errors

from releasetag.engine import stream
from releasetag.engine.connect import Engine
from releasetag.errors import EngineError
from releasetag.text import printable


def insecure_registries(engine: Engine) -> tuple[str, ...]:
    """Return the insecure registries: ``host[:port]`` and CIDR.

    Docker always lists 127.0.0.0/8. Podman's entries for a part of a host, or with a wildcard, are
    not ``host[:port]`` and are omitted.

    Raises:
        EngineError: the engine does not answer as the API specifies.
    """
    try:
        with stream.connection_errors(engine):
            info = engine.client.info()
    except docker.errors.APIError as error:
        reason = printable(str(error.explanation or error))
        raise EngineError(
            f"cannot read the engine's settings: {reason}", "see the engine's log for more"
        ) from error
    registries = info.get("RegistryConfig") or {}
    hosts = registries.get("IndexConfigs") or {}
    insecure = [name for name, index in hosts.items() if not index.get("Secure", True)]
    networks = registries.get("InsecureRegistryCIDRs") or []
    return (*sorted(name for name in insecure if not set(name) & set("/*")), *sorted(networks))
