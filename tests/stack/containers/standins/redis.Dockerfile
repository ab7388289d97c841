# In place of `redis` and `valkey/valkey`: the server from Debian, with the official images' user
# (999), data folder, command line, and way from root to that user.
FROM unsticky/base:local
# redis or valkey
ARG SERVER
# Whatever the release has: tests ask for behaviour, not for versions.
# hadolint ignore=DL3008
RUN groupadd --system --gid 999 "$SERVER" \
    && useradd --system --uid 999 --gid "$SERVER" --home-dir /data --no-create-home "$SERVER" \
    && apt-get update \
    && apt-get install -y --no-install-recommends "$SERVER-server" "$SERVER-tools" \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o "$SERVER" -g "$SERVER" /data \
    && ln -s "/usr/bin/$SERVER-server" /usr/local/bin/server
COPY --chmod=755 redis-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["server"]
