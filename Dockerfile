# The service with its models: `docker build .` in a pipeline's directory, after
#   remint bundle export --bundles bundles        the bundles that deploy/state.yaml names
#
# Bundles lie under /bundles/<hex digest>; the state that chooses among them is mounted at /etc/remint/state. One image is
# one digest for code, libraries, params.yaml and models, so what was verified is what runs.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
# wheels/ is for a Remint that is not on the package index; most repositories have none.
COPY requirements.txt artifacts/metadata.json wheels* ./
# The libraries in the versions that the model was trained with: the service refuses others.
RUN python -c "import json; print(*(f'{n}=={v}' for n, v in json.load(open('metadata.json'))['packages'].items() if n != 'python'), sep='\n')" > constraints.txt
RUN python -m venv /opt/remint \
 && /opt/remint/bin/pip install --no-compile --find-links . --constraint constraints.txt --requirement requirements.txt "remint[serve]" \
 # Bytecode that holds hashes, not times: the same at each build, and quick to start on a read-only root.
 && /opt/remint/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/remint/lib

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/remint/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 \
    REMINT_STORE_URL=sqlite:////var/lib/remint/remint.db
RUN groupadd --gid 10001 remint \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin remint \
 && install -d -o 10001 -g 10001 /var/lib/remint
COPY --from=build /opt/remint /opt/remint
COPY params.yaml /etc/remint/params.yaml
COPY bundles/ /bundles/
USER 10001:10001
EXPOSE 8000
VOLUME /var/lib/remint
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["remint"]
CMD ["serve", "--state=/etc/remint/state/state.yaml", "--bundles=/bundles", "--params=/etc/remint/params.yaml", "--host=0.0.0.0", "--port=8000"]
