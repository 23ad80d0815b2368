# docker build --tag pedseg .
# docker run --rm --gpus all --volume /data:/data --volume "$PWD:/work" pedseg train experiment=uda fold=0
# Without a GPU: --build-arg TORCH_INDEX=URL of an index with CPU builds of torch
FROM python:3.11-slim
ARG TORCH_INDEX=
WORKDIR /opt/pedseg
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY conf conf
RUN torch="$(sed -n 's/^torch==/torch==/p' constraints.txt)" \
 && pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$torch" \
 && pip install --no-cache-dir --constraint constraints.txt ".[phantom,tracking,cluster,export]"
RUN useradd --create-home pedseg && mkdir /work && chown pedseg /work
USER pedseg
WORKDIR /work
ENTRYPOINT ["pedseg"]
CMD ["--help"]
