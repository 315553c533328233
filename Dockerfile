# syntax=docker/dockerfile:1
# The server as an image: installed and built in one stage, run by a user without rights in another.
# It serves on port 8000. `python manage.py migrate` in it, as a command of its own, comes before a new version serves.

# For builds that are the same each time name the base by its digest: --build-arg PYTHON=python:3.11-slim@sha256:…
ARG PYTHON=python:3.11-slim
ARG VENV=/opt/ractory
ARG APP=/srv/ractory

FROM $PYTHON AS build
ARG VENV
ARG APP
ENV PATH=$VENV/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip $VENV
WORKDIR $APP
COPY requirements.txt ./
RUN /usr/local/bin/pip --python $VENV/bin/python install --require-hashes --requirement requirements.txt
COPY manage.py gunicorn.conf.py ./
COPY ractory ractory
COPY tenants tenants
COPY pieces pieces
COPY sync sync
RUN python -m compileall -q ractory tenants pieces sync && \
    DEBUG=true STATIC_ROOT=$APP/static python manage.py collectstatic --no-input --verbosity 0

FROM $PYTHON
ARG VENV
ARG APP
LABEL org.opencontainers.image.title=Ractory \
    org.opencontainers.image.description="A factory's production pieces, for many companies, synchronised in bulk" \
    org.opencontainers.image.version=0.2.0
# Nothing is installed in it any more, by nobody.
RUN pip uninstall --yes --root-user-action ignore wheel setuptools pip
ENV PATH=$VENV/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STATIC_ROOT=$APP/static PORT=8000 HEALTH_PORT=8001
COPY --from=build $VENV $VENV
COPY --from=build $APP $APP
WORKDIR $APP
# A number: Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"HEALTH_PORT\"]}/health', timeout=2)"]
CMD ["gunicorn", "ractory.wsgi"]
