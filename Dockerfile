# Four targets: `generic`, the pipeline with its defaults on a CPU, which a plain `docker build .` gives; `neuron` and
# `neuronx`, the same with the vendor's interpreter beside it; `serve`, which only extracts. docs/containers.md runs them.
# What is installed comes before the code, so a change of the code installs nothing again.
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG NEURON_PYTHON_IMAGE=python:3.10-slim-bookworm

FROM ${BASE_IMAGE} AS base
# The user's number is that of the first user of most machines, so that a folder of theirs can be mounted.
RUN useradd --no-log-init --uid 1000 --create-home modelkiln
ENV PATH=/opt/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

FROM base AS wheel
COPY requirements/build.txt /opt/requirements/
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --no-deps --require-hashes -r /opt/requirements/build.txt
WORKDIR /src
COPY pyproject.toml README.md ./
COPY modelkiln modelkiln
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM base AS generic-libraries
COPY requirements/generic.txt requirements/torch.txt /opt/requirements/
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --no-deps --require-hashes -r /opt/requirements/generic.txt
# torch's builds differ in their hashes, so it is held to its version (requirements/lock.in); what it needs is locked.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --no-deps --index-url "${TORCH_INDEX}" -r /opt/requirements/torch.txt

FROM generic-libraries AS pipeline
WORKDIR /app
COPY --chown=modelkiln:modelkiln . .
# Without git DVC has to be told so. Its cache must hold copies: a volume can't share files with the image by links.
# What is mounted onto an empty volume's folder takes over its owner.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && printf '[core]\n    no_scm = true\n[cache]\n    type = copy\n' > .dvc/config.local \
    && mkdir -p artifacts reports receipts registry \
    && chown -R modelkiln:modelkiln /app
USER 1000
CMD ["dvc", "repro"]

# torch-neuron ends at Python 3.10, so this one brings its interpreter, which finds its own library beside itself.
FROM ${NEURON_PYTHON_IMAGE} AS neuron-worker
RUN cp -a /usr/local /opt/neuron
ENV PATH=/opt/neuron/bin:$PATH
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements/torch-1.13.txt requirements/neuron.txt /opt/requirements/
RUN python3.10 -m pip install --no-cache-dir --no-deps --index-url "${TORCH_INDEX}" \
    --constraint /opt/requirements/torch-1.13.txt torch \
    && python3.10 -m pip install --no-cache-dir -r /opt/requirements/neuron.txt

FROM pipeline AS neuron
COPY --from=neuron-worker /opt/neuron /opt/neuron
USER 1000
ENV MODELKILN_CHOICES="backend=neuron compile.python=/opt/neuron/bin/python3.10"
# params.yaml for this backend, and toolchain.yaml with what both interpreters have.
# hadolint ignore=SC2086
RUN modelkiln compose ${MODELKILN_CHOICES}

FROM base AS neuronx-worker
RUN python -m venv /opt/neuronx
ENV PATH=/opt/neuronx/bin:$PATH
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements/neuronx.txt /opt/requirements/
RUN pip install --no-cache-dir --no-deps --index-url "${TORCH_INDEX}" --constraint /opt/requirements/neuronx.txt torch \
    && pip install --no-cache-dir -r /opt/requirements/neuronx.txt

FROM pipeline AS neuronx
COPY --from=neuronx-worker /opt/neuronx /opt/neuronx
# The device's runtime has to fit its driver, so it is the host's: mount /opt/aws/neuron to use a device.
ENV LD_LIBRARY_PATH=/opt/aws/neuron/lib
USER 1000
ENV MODELKILN_CHOICES="backend=neuronx compile.python=/opt/neuronx/bin/python"
# params.yaml for this backend, and toolchain.yaml with what both interpreters have.
# hadolint ignore=SC2086
RUN modelkiln compose ${MODELKILN_CHOICES}

FROM base AS serve
COPY requirements/serve.txt /opt/requirements/
# The virtual environment has no pip of its own: nothing is installed in a container that serves.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes -r /opt/requirements/serve.txt
COPY --from=wheel /wheels /opt/modelkiln
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --no-index /opt/modelkiln/*.whl
USER 1000
WORKDIR /home/modelkiln
# That the mounted artifact is, byte by byte, what was compiled.
HEALTHCHECK --interval=60s --timeout=30s --start-period=10s CMD ["modelkiln", "verify", "/model"]
ENTRYPOINT ["modelkiln"]
CMD ["extract", "/model"]

FROM pipeline AS generic
USER 1000
