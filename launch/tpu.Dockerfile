# motion_vit for Cloud TPUs.
#
#   docker build -f launch/tpu.Dockerfile -t us-docker.pkg.dev/PROJECT/REPOSITORY/motion_vit-tpu .
#   docker push us-docker.pkg.dev/PROJECT/REPOSITORY/motion_vit-tpu
#
# Edit: the tag, and the same name in launch/gke_jobset.yaml or launch/xpk.sh, which run it; how to follow and stop a
#       run stands there. On a single TPU VM:
#         docker run --rm --init --privileged --net=host --ipc=host -v /mnt/bucket:/bucket IMAGE train ...
#
# Not built yet where this was written (no Docker there): tests check the instructions.
FROM python:3.11-slim-bookworm

# Without a TPU JAX would go on with the CPU; this makes it an error.
ENV JAX_PLATFORMS=tpu,cpu \
    PYTHONUNBUFFERED=1

WORKDIR /motion_vit
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY motion_vit motion_vit
COPY configs configs
RUN pip install --no-cache-dir --constraint constraints.txt ".[tpu]"

ENTRYPOINT ["motion-vit"]
CMD ["--help"]
