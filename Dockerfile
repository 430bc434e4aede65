# releasetag, with git, for CI systems that have no Python: docs/releasing.md says how it is made.
# BASE is any image with Python 3.11 or later on Debian.
ARG BASE=docker.io/library/python:3.14-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
# Nothing is installed that has not the hash of the lock, and nothing but the wheel is built.
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
    --requirement requirements-build.txt \
 && python3 -m venv --without-pip /opt/releasetag \
 && /build/bin/pip --python /opt/releasetag/bin/python3 install --no-cache-dir --no-compile \
    --require-hashes --only-binary :all: --requirement requirements.txt
COPY . .
# Compiled by content and not by time: the same commit gives the same files.
RUN /build/bin/python3 -m build --wheel --no-isolation --outdir /dist \
 && /build/bin/pip --python /opt/releasetag/bin/python3 install --no-cache-dir --no-compile \
    --no-deps --no-index /dist/*.whl \
 && /opt/releasetag/bin/python3 -m compileall -q --invalidation-mode unchecked-hash \
    /opt/releasetag/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="releasetag" \
      org.opencontainers.image.source="https://github.com/releasetag/releasetag" \
      org.opencontainers.image.documentation="https://github.com/releasetag/releasetag#readme"
# The mounted work tree is somebody else's, which git refuses unless it is told.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && git config --system --add safe.directory '*' \
 && useradd --uid 1000 --create-home --shell /usr/sbin/nologin releasetag
COPY --from=build /opt/releasetag /opt/releasetag
ENV PATH=/opt/releasetag/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /src
ENTRYPOINT ["releasetag"]
CMD ["--help"]
