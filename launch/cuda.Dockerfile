# motion_vit for NVIDIA GPUs.
#
#   docker build -f launch/cuda.Dockerfile -t motion_vit-cuda .        from the repository's root
#   docker run --rm --init --gpus all --ipc=host -v "$PWD/data:/data" -v "$PWD/runs:/runs" motion_vit-cuda \
#     train --config configs/my_videos.py --workdir /runs/my_videos \
#     --config.data.train=/data/my_videos --config.data.validation=/data/my_videos
#
# Edit: nothing but the tag. A recipe of your own is mounted like the data: -v "$PWD/my_recipe.py:/recipe.py".
# Follow: the container's log, and metrics.jsonl and tensorboard/ of the workdir.
# Stop:   docker stop --time 300 CONTAINER. It saves; the same `docker run` continues.
#
# The base has no CUDA: JAX's wheels (jax[cuda13]) bring the libraries that they were built for, and those of a CUDA
# image would only lie beside them. The host needs the NVIDIA container toolkit and a driver that supports CUDA 13 (580
# or newer). For a driver of CUDA 12, replace `.[gpu]` by `. "jax[cuda12]"`.
#
# --ipc=host: processes that decode videos (data.workers) hand batches over in shared memory, of which Docker gives
# 64 MB.
#
# Not built yet where this was written (no Docker there): tests check the instructions.
FROM python:3.11-slim-bookworm

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1

WORKDIR /motion_vit
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY motion_vit motion_vit
COPY configs configs
RUN pip install --no-cache-dir --constraint constraints.txt ".[gpu]"

ENTRYPOINT ["motion-vit"]
CMD ["--help"]
