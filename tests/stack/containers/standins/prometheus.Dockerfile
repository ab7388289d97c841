# In place of `prom/prometheus` and `oliver006/redis_exporter`: both from Debian, with the paths and
# users of the official images. Its other stage stands for `prom/blackbox-exporter`.
FROM unsticky/base:local AS programs
# Whatever the release has: tests ask for behaviour, not for versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        prometheus prometheus-blackbox-exporter prometheus-redis-exporter \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o nobody -g nogroup /prometheus \
    && ln -s /usr/bin/prometheus-redis-exporter /redis_exporter
USER 65534
FROM programs AS blackbox
ENTRYPOINT ["/usr/bin/prometheus-blackbox-exporter"]
FROM programs AS prometheus
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["/usr/bin/prometheus"]
