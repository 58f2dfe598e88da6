# The server alone: its binary and the C library, no shell. Built by `docker compose up` or `docker build -t drave .`.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked && tests/compose/root.sh target/release/drave /root-fs

FROM scratch
COPY --from=build /root-fs /
COPY --from=build --chown=1000:1000 /root-fs/var/lib/drave /var/lib/drave
USER 1000:1000
ENV KAFKA_LOG_DIRS=/var/lib/drave
VOLUME /var/lib/drave
ENTRYPOINT ["/drave"]
