#!/usr/bin/env bash
# One clip, one call, one process: an H.264 encoder is taken to give the same bytes again, and through PyAV it does where frames have
# the encoder's own format (yuv420p). Where frames are RGB and the encoder converts them as it takes them in, now and then it does
# not: of 36 small clips, each encoded twenty times in a row, two gave more than one stream in each of three processes, of other sizes
# and with other decoded pictures. Which clips, and how often, changes with what else the process holds. With
# frame.reformat(format="yuv420p") before encode none does. So a video that is to be the same each time, or a test that compares
# files, needs the conversion said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
cat > "$folder/encode.py" <<'PYTHON'
import io
import sys

import av
import numpy as np

av.logging.set_level(av.logging.ERROR)


def clip(seed: int, height: int, width: int) -> np.ndarray:
    """12 frames of squares in random colours"""
    random = np.random.default_rng(seed)
    frames = [np.kron(random.integers(0, 256, (-(-height // 8), -(-width // 8), 3)), np.ones((8, 8, 1))) for _ in range(12)]
    return np.stack([frame[:height, :width].astype(np.uint8) for frame in frames])


def encode(pictures: np.ndarray, convert: bool) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for time, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if convert:
                frame = frame.reformat(format="yuv420p")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


clips = [clip(seed, *size) for seed in range(12) for size in ((64, 48), (36, 44), (32, 32))]
unalike = [len({encode(pictures, sys.argv[1] == "converted") for _ in range(20)}) > 1 for pictures in clips]
print(sum(unalike))
PYTHON
for kind in converted rgb; do
    for _ in 1 2 3; do "$folder/venv/bin/python" "$folder/encode.py" $kind; done > "$folder/$kind"
    echo "$kind: of 36 clips, encoded 20 times each by 3 processes, those that gave more than one stream:" $(cat "$folder/$kind")
done
test "$(sort -u "$folder/converted")" = 0
test "$(sort -n "$folder/rgb" | tail -n 1)" -gt 0
echo "as seen with av 18.1.0 (libavcodec 62.28.102)"
