#!/bin/sh
# One H.264 file that is tagged BT.709, one call, two versions of PyAV: to_ndarray(format="rgb24") ignores the tag in 16.1.0
# (BT.601 is applied) and follows it from 17.0.0 on. Seen: red (220, 39, 39) becomes (235, 56, 36). With the matrix of source
# and target and both ranges given to reformat, the two agree to the last bit. Exits 1 where this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/make.py" <<'PY'
import sys
import av, numpy as np
with av.open(sys.argv[1], "w") as file:
    stream = file.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
    stream.codec_context.colorspace = stream.codec_context.color_range = 1  # BT.709, limited
    file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((72, 96, 3), (220, 40, 40), np.uint8), format="rgb24")))
    file.mux(stream.encode())
PY
cat > "$folder/read.py" <<'PY'
import sys
import av
def pixel(**options):
    with av.open(sys.argv[1]) as file:
        frame = next(file.decode(video=0))
        return tuple(map(int, frame.reformat(format="rgb24", **options).to_ndarray()[36, 48]))
print("default", pixel())
print("explicit", pixel(src_colorspace=1, dst_colorspace=5, src_color_range=1, dst_color_range=2))
PY
for version in 16.1.0 17.0.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install "av==$version" "numpy==2.3.5"
    [ -e "$folder/a.mp4" ] || "$folder/$version/bin/python" "$folder/make.py" "$folder/a.mp4"
    "$folder/$version/bin/python" "$folder/read.py" "$folder/a.mp4" > "$folder/$version.txt"
    echo "PyAV $version:" && cat "$folder/$version.txt"
done
[ "$(grep default "$folder/16.1.0.txt")" != "$(grep default "$folder/17.0.0.txt")" ]
[ "$(grep explicit "$folder/16.1.0.txt")" = "$(grep explicit "$folder/17.0.0.txt")" ]
