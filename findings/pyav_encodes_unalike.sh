#!/usr/bin/env bash
# One clip, one call, one process: an H.264 encoder is taken to give the same bytes again, and through PyAV it does where frames have
# the encoder's own format (yuv420p). Where frames are RGB and the encoder converts them as it takes them in, it does not: of
# twenty calls in a row, some give another stream of another size, whose decoded pictures differ by up to 22 of 255 levels. In most
# processes it happens, in some not, so the script starts several. With frame.reformat(format="yuv420p") before encode, all
# calls of all processes give the same bytes. So a video that is to be the same on each machine, or a test that two are not, needs
# the conversion said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
cat > "$folder/encode.py" <<'PYTHON'
import hashlib
import io
import sys

import av
import numpy as np

av.logging.set_level(av.logging.ERROR)
squares = np.random.default_rng(7).integers(0, 256, (12, 8, 6, 3), dtype=np.uint8)
clip = squares.repeat(8, axis=1).repeat(8, axis=2)  # 12 frames of 64 x 48 pixels

def encode(convert: bool) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 48, "yuv420p"
        for time, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if convert:
                frame = frame.reformat(format="yuv420p")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()

print(*(hashlib.sha256(encode(sys.argv[1] == "converted")).hexdigest()[:12] for _ in range(20)))
PYTHON
for kind in converted rgb; do
    for _ in $(seq 12); do "$folder/venv/bin/python" "$folder/encode.py" $kind; done > "$folder/$kind"
    echo "$kind: 12 processes, 20 calls each: $(tr ' ' '\n' < "$folder/$kind" | sort -u | wc -l) streams;" \
        "processes that gave more than one: $(while read -r line; do tr ' ' '\n' <<< "$line" | sort -u | wc -l; done < "$folder/$kind" | grep -cv '^1$' || true)"
done
test "$(tr ' ' '\n' < "$folder/converted" | sort -u | wc -l)" -eq 1
test "$(tr ' ' '\n' < "$folder/rgb" | sort -u | wc -l)" -gt 1

echo "as seen with av 18.1.0 (libavcodec 62.28.102)"
