# In place of `docker:dind`: an engine that another host has, in a privileged container.
FROM unsticky/base:local
# Whatever the release has: tests ask for behaviour, not for versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends docker.io docker-cli iptables \
    && rm -rf /var/lib/apt/lists/*
# On overlayfs itself, which the engine's own layers cannot lie on.
VOLUME /var/lib/docker
CMD ["dockerd"]
