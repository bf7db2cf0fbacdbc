# One image for all services, the runner and the migration. It has never been built: no container engine was available.
# A test checks docker-compose.yml against the settings.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/uv.txt requirements/runtime.txt ./
RUN python -m venv /opt/callboard/venv \
 && pip install --no-cache-dir --require-hashes --target /opt/uv -r uv.txt \
 && /opt/uv/bin/uv pip sync --no-cache --require-hashes --compile-bytecode \
      --python /opt/callboard/venv/bin/python runtime.txt
COPY services /opt/callboard/services
COPY libs /opt/callboard/libs
COPY examples /opt/callboard/examples
COPY pyproject.toml LICENSE /opt/callboard/
RUN printf '/opt/callboard\n/opt/callboard/libs/callboard\n' \
      > "$(echo /opt/callboard/venv/lib/python3.*/site-packages)/callboard.pth" \
 && printf '#!/bin/sh\nexec /opt/callboard/venv/bin/python -m services.cli "$@"\n' \
      > /opt/callboard/venv/bin/callboard \
 && chmod 0755 /opt/callboard/venv/bin/callboard \
 && /opt/callboard/venv/bin/python -m compileall -q /opt/callboard/services /opt/callboard/libs

FROM python:3.11-slim
RUN groupadd --system --gid 10001 callboard \
 && useradd --system --uid 10001 --gid callboard --home-dir /nonexistent --shell /usr/sbin/nologin callboard
COPY --from=build /opt/callboard /opt/callboard
ENV PATH=/opt/callboard/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/callboard
USER 10001:10001
# every service shuts down cleanly on this
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["callboard", "--help"]
