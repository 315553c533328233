# syntax=docker/dockerfile:1
# The server as an image: dependencies built in one stage, run by a user without rights in another.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/ractory
COPY requirements.txt .
RUN /opt/ractory/bin/pip install --requirement requirements.txt

FROM python:3.11-slim
ENV PATH=/opt/ractory/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --home-dir /srv/ractory ractory
COPY --from=build /opt/ractory /opt/ractory
WORKDIR /srv/ractory
COPY manage.py ./
COPY ractory ractory
COPY tenants tenants
COPY pieces pieces
COPY sync sync
USER ractory
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
CMD ["gunicorn", "ractory.wsgi", "--bind", "0.0.0.0:8000", "--workers", "4"]
