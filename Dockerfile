# The server alone: its binary and the C library, no shell. Built by `docker compose up` or `docker build -t drave .`.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# A directory that is there already would keep its owner.
RUN cargo build --release --locked && tests/compose/root.sh target/release/drave /root-fs && mv /root-fs/var/lib/drave /data

FROM scratch
COPY --from=build /root-fs /
COPY --from=build --chown=1000:1000 /data /var/lib/drave
USER 1000:1000
ENV KAFKA_LOG_DIRS=/var/lib/drave
VOLUME /var/lib/drave
ENTRYPOINT ["/drave"]
